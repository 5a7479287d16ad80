"""The contest: the best cells by proxy and all warm starts are trained for real, and the winner is the search's best
cell.

rounds.py             the budgets: steps and seeds of each round
decision.py           who can still win, as functions of arrays
finalist_training.py  trains and evaluates one finalist with one seed, and keeps what the decision needs
tasks.py              the contest as tasks of a ledger: what is to be trained now, and what came of each round
trained.py            what one training gave, as the ledger keeps it
outcome.py            the standings, the winner, and the differences to the others
network.py            the network that finalists are trained in, and where its backbone starts
hold_contest.py       the contest as a part of a search
sentence.py           the result in one sentence
result.py             the search and its contest as one value; best_cells.py writes the winner
"""
