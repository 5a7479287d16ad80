"""Limits of candidates, by hand."""

import pytest

from deeplab_dpc.arch.cell import BACKBONE, Branch, Cell
from deeplab_dpc.arch.operations import AtrousConv, Conv1x1, PyramidPooling
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.samplers.constraints import Constraints

SHAPE = (8, 16, 320)
CELL = Cell((Branch(BACKBONE, Conv1x1()), Branch(0, AtrousConv((1, 3)))))
# 1x1: 320 * 256; atrous: 9 * 256 + 256 * 256; projection of 512 channels: 512 * 256. All run at 8 * 16 places.
PARAMS = 81920 + 2304 + 65536 + 131072
MADDS = PARAMS * 128


def test_without_limits_every_cell_is_admitted():
    assert Constraints(SHAPE).admits(CELL)


def test_the_largest_admitted_cost_is_the_limit():
    assert Constraints(SHAPE, max_params=PARAMS).admits(CELL)
    assert not Constraints(SHAPE, max_params=PARAMS - 1).admits(CELL)
    assert Constraints(SHAPE, max_madds=MADDS).admits(CELL)
    assert not Constraints(SHAPE, max_madds=MADDS - 1).admits(CELL)


def test_the_smaller_side_must_reach_and_the_larger_must_not_exceed():
    # The cell sees 3 rows and 7 columns.
    assert Constraints(SHAPE, min_receptive_field=3).admits(CELL)
    assert not Constraints(SHAPE, min_receptive_field=4).admits(CELL)
    assert Constraints(SHAPE, max_receptive_field=7).admits(CELL)
    assert not Constraints(SHAPE, max_receptive_field=6).admits(CELL)


def test_all_limits_hold_together():
    assert Constraints(SHAPE, 16, PARAMS, MADDS, 3, 7).admits(CELL)
    assert not Constraints(SHAPE, 16, PARAMS, MADDS, 3, 6).admits(CELL)
    assert not Constraints(SHAPE, 16, PARAMS - 1, MADDS, 3, 7).admits(CELL)


def test_limits_come_from_the_flags():
    limits = {"max_params": PARAMS, "max_madds": MADDS, "min_receptive_field": 3, "max_receptive_field": 7}
    config = SearchConfig(num_branches=2, **limits)
    assert Constraints.from_config(config, SHAPE, 16) == Constraints(SHAPE, 16, PARAMS, MADDS, 3, 7)


def test_a_limit_that_no_cell_keeps_is_refused():
    def refused(message, **flags):
        with pytest.raises(UserError, match=message):
            Constraints.from_config(SearchConfig(num_branches=2, **flags), SHAPE, 16)

    # The smallest: 1x1 on the features, then 1x1 on its 256 channels; the cheapest pools both to one place.
    smallest = 81920 + 65536 + 131072
    refused(f"--max_params={smallest - 1} admits no cell: .* has {smallest} with its", max_params=smallest - 1)
    Constraints.from_config(SearchConfig(num_branches=2, max_params=smallest), SHAPE, 16)
    cheapest = 81920 + 65536 + 131072 * 128
    refused(f"--max_madds={cheapest - 1} admits no cell: .* has {cheapest} with .* 8x16x320", max_madds=cheapest - 1)
    Constraints.from_config(SearchConfig(num_branches=2, max_madds=cheapest), SHAPE, 16)
    # The widest: rate 21 twice, 4 * 21 + 1.
    refused("--min_receptive_field=86 admits no cell: the widest of the space sees 85", min_receptive_field=86)
    Constraints.from_config(SearchConfig(num_branches=2, min_receptive_field=85), SHAPE, 16)
    refused(
        "--min_receptive_field=9 must be at most --max_receptive_field=8",
        min_receptive_field=9,
        max_receptive_field=8,
    )


def test_pooling_is_cheap_and_sees_far():
    pooled = Cell((Branch(BACKBONE, PyramidPooling((1, 1))),))
    assert Constraints(SHAPE, max_madds=81920 + 65536 * 128, min_receptive_field=8).admits(pooled)


def test_receptive_field_is_in_cells_of_the_features():
    assert Constraints(SHAPE, 8, min_receptive_field=5).admits(CELL)
    assert not Constraints(SHAPE, 16, min_receptive_field=5).admits(CELL)
    Constraints.from_config(SearchConfig(num_branches=2, min_receptive_field=169), SHAPE, 8)
    with pytest.raises(UserError, match="sees 169 feature-map cells of .* features at stride 8; lower it"):
        Constraints.from_config(SearchConfig(num_branches=2, min_receptive_field=170), SHAPE, 8)
