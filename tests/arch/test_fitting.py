"""Rates that a map of some size can train, and ASPP with other rates by name."""

import pytest

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.fitting import (
    aspp_cell,
    aspp_name,
    feature_cells,
    fitted_aspp_rates,
    fitted_rates,
    name_of_aspp,
    untrained_rates,
)
from deeplab_dpc.arch.library import load_cell, name_of_cell, shipped_cells
from deeplab_dpc.arch.operations.atrous_conv import RATES
from deeplab_dpc.errors import UserError


def test_cells_of_a_side():
    assert [feature_cells(side) for side in (65, 257, 321, 513, 769)] == [5, 17, 21, 33, 49]


@pytest.mark.parametrize(
    ("cells", "rates"),
    [
        (49, RATES),  # Cityscapes, crops of 769: the paper's space
        (35, RATES),  # 21 of 35: just 40 % of the places are left
        (34, (1, 3, 6, 9, 12, 15, 18)),
        (21, (1, 3, 6, 9, 12)),
        (17, (1, 3, 6, 9)),
        (5, (1, 3)),
        (1, (1,)),
    ],
)
def test_rates_see_features_in_two_places_of_five(cells, rates):
    assert fitted_rates(RATES, cells) == rates
    assert all((cells - rate) / cells >= 0.4 for rate in rates if cells > 1)


def test_outer_taps_that_hardly_see_features():
    """Of 17 cells, rate 15 sees features in two, 16 in one, and 18 in none."""
    assert untrained_rates((6, 12, 15, 16, 18, 18), 17) == [16, 18]
    assert untrained_rates((6, 12, 18), 21) == []


def test_aspp_shrinks_with_the_map():
    rates = {cells: fitted_aspp_rates(cells) for cells in (49, 21, 17, 7, 1)}
    assert rates == {49: (6, 12, 18), 21: (6, 12, 18), 17: (5, 10, 15), 7: (2, 4, 6), 1: (1, 1, 1)}


def test_aspp_of_the_published_rates_is_the_cell_that_ships():
    assert aspp_cell((6, 12, 18)) == shipped_cells()["aspp"]
    assert aspp_name((6, 12, 18)) == name_of_aspp(shipped_cells()["aspp"]) == "aspp"


def test_aspp_of_other_rates_has_a_name():
    cell = load_cell("aspp_3_6_9")
    assert [branch.operation.summary() for branch in cell.branches] == [
        "1x1",
        "3x3@3x3",
        "3x3@6x6",
        "3x3@9x9",
        "pool@1x1",
    ]
    assert name_of_cell(cell) == "aspp_3_6_9"
    assert name_of_cell(Cell.from_json(cell.to_json())) == "aspp_3_6_9"
    assert {name_of_cell(shipped) for shipped in shipped_cells().values()} == set(shipped_cells())
    assert name_of_cell(Cell(cell.branches[:2])) is None


@pytest.mark.parametrize("name", ["aspp_", "aspp_0", "aspp_3__6", "aspp_3_x", "aspp_-3", "aspp3", "ASPP_3", "aspp_3_"])
def test_other_names_are_no_aspp(name):
    with pytest.raises(UserError, match="is neither a cell file nor a cell that ships"):
        load_cell(name)
