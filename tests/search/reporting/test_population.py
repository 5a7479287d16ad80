"""Candidates as arrays: ranks, budgets, and the figures that follow from them."""

import math

import numpy as np
import pytest
from reporting_results import candidate, search_result, stopped

from deeplab_dpc.search.reporting.population import Population, steps_taken
from deeplab_dpc.search.reporting.scores import best_so_far, finishing_order
from deeplab_dpc.search.statistics import difference_interval, mean_interval, pareto_front, share_interval


def test_stopped_candidates_rank_after_those_that_were_not():
    population = Population.of(search_result([stopped(0, 0.9), candidate(1, 0.4), candidate(2, 0.5), stopped(3, 0.95)]))
    assert population.ranks.tolist() == [4, 2, 1, 3]
    assert population.budgets == [100, 400]
    assert population.budget == 400
    assert population.num_top == 1
    assert population.is_top.tolist() == [False, False, True, False]


def test_scores_are_compared_at_equal_budget():
    population = Population.of(search_result([stopped(0, 0.9), candidate(1, 0.4, rungs=((100, 0.2), (400, 0.4)))]))
    np.testing.assert_equal(population.miou, [math.nan, 0.4])
    assert population.common_miou.tolist() == [0.9, 0.2]


def test_steps_of_all_rungs_count():
    scored = candidate(0, 0.4, rungs=((100, 0.2), (400, 0.4)))
    assert steps_taken(scored.score) == 500
    assert steps_taken(candidate(0, 0.4).score) == 400


def test_best_so_far_passes_over_candidates_without_a_score():
    np.testing.assert_equal(best_so_far(np.array([math.nan, 0.2, 0.1, math.nan, 0.3])), [math.nan, 0.2, 0.2, 0.2, 0.3])


def test_candidates_are_in_the_order_they_were_finished_if_that_is_known():
    finished = [candidate(0, 0.1, finished=30.0), candidate(1, 0.2, finished=10.0), candidate(2, 0.3, finished=20.0)]
    assert finishing_order(Population.of(search_result(finished))).tolist() == [1, 2, 0]
    unknown = [*finished[:2], candidate(2, 0.3, finished=0.0)]
    assert finishing_order(Population.of(search_result(unknown))).tolist() == [0, 1, 2]


def test_pareto_front_holds_what_nothing_cheaper_beats():
    cost = np.array([5, 1, 3, 3, 4, 2])
    score = np.array([0.9, 0.5, 0.6, 0.7, 0.7, math.nan])
    # (1, 0.5), (3, 0.7), (5, 0.9): (3, 0.6) and (4, 0.7) are no better than (3, 0.7), and nan is not a score.
    assert pareto_front(cost, score).tolist() == [1, 3, 0]
    assert pareto_front(np.zeros(0), np.zeros(0)).tolist() == []


def test_share_interval_is_wilsons():
    # Newcombe (1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857), Table I, method 3: 81/263 and 0/20.
    assert share_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert share_interval(0.0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_bootstrap_interval_of_a_mean_has_the_width_of_the_normal_one():
    values = np.tile([0.0, 1.0], 200)  # standard error 0.5 / 20
    low, high = mean_interval(values)
    assert (low, high) == pytest.approx((0.5 - 0.049, 0.5 + 0.049), abs=0.008)
    low, high = difference_interval(values + 1, values)  # of two means: sqrt(2) times as wide
    assert (low, high) == pytest.approx((1 - 0.069, 1 + 0.069), abs=0.012)
    assert mean_interval(np.array([0.3, 0.3])) == (0.3, 0.3)
