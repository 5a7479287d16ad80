"""The contest: the best cells by proxy and all warm starts are trained for real, and whoever wins is the search's best.

rounds.py     the budgets: steps and seeds of each round
decision.py   who can still win, as functions of arrays
training.py   trains and evaluates one finalist with one seed, and keeps what the decision needs
tasks.py      the contest as tasks of a ledger: what is to be trained now, and what came of each round
result.py     the standings, the winner, and the differences to the others
sentence.py   the result in one sentence
"""
