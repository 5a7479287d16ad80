"""The contest, in which the best cells by proxy and all warm starts are trained end to end; its winner is the best cell
of the search.

rounds.py             the budgets: steps and seeds of each round
decision.py           the decision which finalists can still win, as functions of arrays
finalist_training.py  the training and evaluation of one finalist with one seed
tasks.py              the contest as tasks of a ledger: the open trainings, and the result of each round
trained.py            the result of one training, as the ledger stores it
outcome.py            the standings, the winner, and the differences to the others
network.py            the network in which finalists are trained, and its initial weights
hold_contest.py       the contest as a part of a search
sentence.py           the result in one sentence
result.py             the results of the search and its contest as one value
best_cells.py         the files of the best cells and the verdict
"""
