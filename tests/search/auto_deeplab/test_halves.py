"""The two halves of the training split, and the plan of the steps."""

import math

import pytest

from deeplab_dpc.config import AutoDeepLabConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.auto_deeplab.plan import Plan
from deeplab_dpc.search.auto_deeplab.streams import draw_halves


@pytest.mark.parametrize("num_records", [12, 13])
def test_halves_are_disjoint_complete_and_of_equal_size(num_records):
    halves = draw_halves(num_records, batch_size=2, seed=0)
    assert sorted(halves.weights + halves.architecture) == list(range(num_records))
    assert (len(halves.weights), len(halves.architecture)) == (6, num_records - 6)


def test_seed_decides_the_halves():
    halves = [draw_halves(100, batch_size=2, seed=seed) for seed in (0, 0, 1)]
    assert halves[0] == halves[1] != halves[2]
    assert 15 < sum(record < 50 for record in halves[0].weights) < 35  # not the first half of the files


def test_each_half_needs_a_batch():
    assert len(draw_halves(8, batch_size=4, seed=0).weights) == 4
    with pytest.raises(
        UserError, match="has 7 images, so that its halves have 3 and 4, fewer than --search_batch_size=4"
    ):
        draw_halves(7, batch_size=4, seed=0)


@pytest.fixture
def plan() -> Plan:
    """10 records in batches of 3: 3 steps an epoch."""
    return Plan(AutoDeepLabConfig(search_epochs=4, architecture_start_epoch=2, search_batch_size=3), half_size=10)


def test_architecture_steps_begin_with_their_epoch(plan):
    assert (plan.steps_per_epoch, plan.num_steps, plan.num_architecture_steps) == (3, 12, 6)
    assert [plan.trains_architecture(step) for step in (0, 5, 6, 11)] == [False, False, True, True]
    assert [plan.architecture_steps_before(step) for step in (0, 6, 7, 11)] == [0, 0, 1, 5]


def test_rate_of_the_weights_falls_by_half_a_cosine(plan):
    rates = [plan.weight_rate(step) for step in range(13)]
    assert rates[0] == 0.025
    assert math.isclose(rates[6], 0.013)
    assert math.isclose(rates[12], 0.001)
    # cos(pi / 3) = 1 / 2: three quarters of the way from the end.
    assert math.isclose(rates[4], 0.001 + 0.024 * 0.75)
