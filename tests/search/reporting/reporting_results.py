"""Small results of searches, made up."""

import dataclasses
import random

import numpy as np

from deeplab_dpc.arch.cell import BACKBONE, Branch, Cell
from deeplab_dpc.arch.operations import AtrousConv, Conv1x1
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.contest.outcome import ContestOutcome, RoundOutcome
from deeplab_dpc.search.contest.result import SearchResult
from deeplab_dpc.search.contest.rounds import Round
from deeplab_dpc.search.contest.trained import Trained
from deeplab_dpc.search.scored import GIVEN, ProxyScore, Scored

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


def diverged(number, steps, rungs=()):
    score = dataclasses.replace(ProxyScore.of_diverged(steps), rungs=(*rungs, (steps, 0.0)))
    return Scored(f"cell {number}", cell(number), "uniform", score, "w", 1.0)


def warm_start(miou=0.3, name="conv"):
    return Scored(name, CONV, GIVEN, ProxyScore(miou, 0.5, 5.0, 100.0, STEPS, ((STEPS, miou),)))


def trained(miou, spread=0.01, num_images=50, run="run"):
    """A training whose score would be spread so much over other images."""
    samples = np.clip(np.random.default_rng(0).normal(miou, spread, 200), 0, 1)
    return Trained(miou, 100.0, run, samples, "images", num_images)


def rerank(scored, *mious, **options):
    """A finalist with a training of each of these scores."""
    return scored, [trained(miou, **options) for miou in mious]


def contest(*rounds, complete=True, threshold=0.05):
    """A contest from finalists as `rerank` makes them, round by round; those without a training are given up."""
    outcomes = []
    for number, finalists in enumerate(rounds, start=1):
        seeds = max(len(trainings) for _, trainings in finalists)
        found = {scored.cell.digest(): dict(enumerate(trainings)) for scored, trainings in finalists}
        entrants = tuple(scored for scored, _ in finalists)
        ladder = tuple(100 * 2**place for place in range(number))
        last = complete and number == len(rounds)
        given_up = frozenset(digest for digest, trainings in found.items() if not trainings)
        outcomes.append(RoundOutcome(Round(ladder, seeds), entrants, found, given_up, threshold, last))
    return ContestOutcome(tuple(outcomes), complete)


def search_result(candidates, warm_starts=(), reranked=(), **config):
    config = SearchConfig(num_candidates=len(candidates), proxy_steps=STEPS, **config)
    outcome = contest(list(reranked)) if reranked else None
    return SearchResult(config, (5, 7, 16), list(warm_starts), list(candidates), outcome)


def atrous(*rates):
    """A cell with an atrous convolution of the backbone's features for each rate."""
    return Cell(tuple(Branch(BACKBONE, AtrousConv(rate)) for rate in rates))
