"""What a search is projected to cost, by hand."""

import numpy as np
import pytest

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.reporting.projection import (
    CellCost,
    CostModel,
    Estimate,
    Plan,
    device_seconds,
    paper_plan,
    tenths,
    wall_seconds,
)
from deeplab_dpc.search.scored import GIVEN, ProxyScore, Scored

CELL = load_cell("conv1x1")


def _scored(step_seconds, seconds, rungs=(100,), worker="a", finished=0.0, draw="uniform"):
    score = ProxyScore(
        0.5, 0.1, seconds, steps=rungs[-1], rungs=tuple((steps, 0.5) for steps in rungs), step_seconds=step_seconds
    )
    return Scored("c", CELL, draw, score, worker, finished)


def _approx(typical, low, high):
    return pytest.approx((typical, low, high))


def _bounds(estimate):
    return estimate.typical, estimate.low, estimate.high


def test_rungs_from_scratch_are_16_times_fewer_steps_not_20():
    plan = paper_plan(halving_rungs=4)
    assert plan.rung_steps == (468, 1875, 7500, 30000)
    # 468 + 1,875 / 4 + 7,500 / 16 + 30,000 / 64
    assert plan.steps_of_candidate == 468 + 3 * 468.75
    assert 30000 / plan.steps_of_candidate == pytest.approx(16.0, abs=0.01)
    assert paper_plan().steps == 28000 * 30000


def test_warm_starts_climb_all_rungs():
    config = SearchConfig(num_candidates=8, proxy_steps=400, halving_rungs=2, halving_factor=4, warm_starts=("a", "b"))
    plan = Plan.of(config)
    assert plan.steps == 8 * (100 + 400 / 4) + 2 * (100 + 400)
    assert plan.rungs == 8 * 1.25 + 2 * 2
    assert plan.steps_of_candidate == 200


def test_overhead_is_what_the_steps_of_all_rungs_leave_shared_by_the_rungs():
    # 500 steps of 10 ms are 5 s of 8 s, and each of the two rungs has half of the other 3 s.
    assert CellCost.of(_scored(0.01, 8.0, rungs=(100, 400))) == CellCost("a", 0.01, 1.5)
    # Seconds are rounded, and a typical step may be above the mean.
    assert CellCost.of(_scored(0.011, 1.0)).overhead_seconds == 0.0


def test_first_cell_of_each_worker_tells_what_a_start_costs_and_is_no_typical_cell():
    found = [
        _scored(0.01, 33.0, worker="a", finished=1.0),  # 32 s beside its steps
        _scored(0.02, 44.0, worker="b", finished=2.0),  # 42 s
        _scored(0.01, 3.0, worker="a", finished=3.0),
        _scored(0.02, 4.0, worker="b", finished=4.0),
        _scored(0.03, 5.0, worker="a", finished=5.0),
    ]
    model = CostModel.of(reversed(found))
    assert model.cells == (CellCost("a", 0.01, 2.0), CellCost("b", 0.02, 2.0), CellCost("a", 0.03, 2.0))
    assert model.start_seconds == pytest.approx((30 + 40) / 2)
    assert not model.has_only_first_cells


def test_first_cells_count_where_there_are_no_others():
    model = CostModel.of([_scored(0.01, 33.0, worker="a"), _scored(0.02, 44.0, worker="b")])
    assert [cell.overhead_seconds for cell in model.cells] == [32.0, 42.0]
    assert (model.start_seconds, model.has_only_first_cells) == (0.0, True)


def test_warm_starts_count_only_until_there_are_three_candidates():
    given = [_scored(0.001, 0.1, finished=float(i), draw=GIVEN) for i in range(3)]
    drawn = [_scored(0.01, 1.0, finished=3.0 + i) for i in range(3)]
    assert [cell.step_seconds for cell in CostModel.of(given + drawn[:2]).cells] == [0.001, 0.001, 0.01, 0.01]
    assert [cell.step_seconds for cell in CostModel.of(given + drawn).cells] == [0.01] * 3


def test_cells_without_a_known_step_tell_nothing_but_who_was_first():
    old = _scored(0.0, 9.0, finished=1.0)
    assert CostModel.of([old]) is None
    assert CostModel.of([]) is None
    model = CostModel.of([old, _scored(0.01, 3.0, finished=2.0)])
    assert model == CostModel((CellCost("a", 0.01, 2.0),), 0.0)


def test_estimate_has_the_mean_step_and_the_median_overhead_between_cells_like_the_cheapest_and_the_dearest():
    model = CostModel((CellCost("a", 0.1, 1.0), CellCost("a", 0.2, 2.0), CellCost("b", 0.6, 30.0)), start_seconds=100.0)
    # Ten steps in a rung: 2, 4 and 36 s. The mean step is 0.3 s, the median overhead 2 s.
    assert _bounds(model.seconds(10, 1)) == _approx(5.0, 2.0, 36.0)
    assert _bounds(device_seconds(model, Plan(100, (10,)))) == _approx(500.0, 200.0, 3600.0)
    assert _bounds(wall_seconds(model, Plan(100, (10,)), 4)) == _approx(225.0, 150.0, 1000.0)


def test_tenths_are_the_extremes_of_few_cells():
    assert tenths(np.arange(2.0)) == (0.0, 1.0)
    assert tenths(np.arange(10.0)) == (0.0, 9.0)
    assert tenths(np.arange(11.0)) == (1.0, 9.0)


def test_typical_cost_is_within_the_interval_where_few_cells_are_far_off():
    cells = [CellCost("a", 0.1, 0.0)] * 20 + [CellCost("a", 10.0, 0.0)]
    typical, low, high = _bounds(CostModel(tuple(cells)).seconds(21, 1))
    assert (typical, low, high) == _approx(12.0, 2.1, 12.0)


def test_more_workers_than_cells_save_no_time():
    model = CostModel((CellCost("a", 0.1, 5.0),))
    # Four candidates, of which one climbs to the second rung, and no time is less than that cell's 2 * 5 + 50 * 0.1.
    plan = Plan(4, (10, 40))
    assert device_seconds(model, plan) == Estimate(33.0, 33.0, 33.0)
    assert wall_seconds(model, plan, 2).typical == pytest.approx(16.5)
    assert wall_seconds(model, plan, 370).typical == pytest.approx(15.0)


def test_papers_search_at_a_tenth_of_a_second_a_step():
    model = CostModel((CellCost("a", 0.1, 0.0),))
    assert device_seconds(model, paper_plan()).typical == pytest.approx(28000 * 3000)
    # 2,625,000 s, or 30.4 days, for each of 32 workers.
    assert wall_seconds(model, paper_plan(), 32).typical / 86400 == pytest.approx(30.38, abs=0.01)
