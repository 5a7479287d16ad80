"""Small results of searches, made up."""

import random

from deeplab_dpc.arch.cell import BACKBONE, AtrousConv, Branch, Cell, Conv1x1
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.result import SearchResult
from deeplab_dpc.search.scored import GIVEN, ProxyScore, Reranked, Scored

STEPS = 400
CONV = Cell((Branch(BACKBONE, Conv1x1()),))


def cell(number):
    """A cell of one to five branches."""
    return SearchSpace(number % 5 + 1).sample(random.Random(number))


def candidate(number, miou, draw="uniform", steps=STEPS, rungs=(), worker="w", finished=1.0, own_cell=None):
    score = ProxyScore(miou, 1 - miou, 10.0, loss_sum=steps * (1 - miou), steps=steps, rungs=rungs or ((steps, miou),))
    return Scored(f"cell {number}", own_cell or cell(number), draw, score, worker, finished)


def stopped(number, miou, **options):
    return candidate(number, miou, steps=STEPS // 4, **options)


def warm_start(miou=0.3, name="conv"):
    return Scored(name, CONV, GIVEN, ProxyScore(miou, 0.5, 5.0, 100.0, STEPS, ((STEPS, miou),)))


def rerank(scored, miou):
    return Reranked(scored, miou, 100.0, "run")


def search_result(candidates, warm_starts=(), reranked=(), **config):
    config = SearchConfig(num_candidates=len(candidates), proxy_steps=STEPS, **config)
    return SearchResult(config, (5, 7, 16), list(warm_starts), list(candidates), list(reranked))


def atrous(*rates):
    """A cell with an atrous convolution of the backbone's features for each rate."""
    return Cell(tuple(Branch(BACKBONE, AtrousConv(rate)) for rate in rates))
