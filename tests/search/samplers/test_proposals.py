"""Uniform draws, and neighbours where much is known."""

import random

import pytest

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.search.samplers.sampler import SpaceExhaustedError, admitted_neighbour, draw_uniformly


def test_more_decisions_change_only_where_all_near_are_known(space, cells, changes):
    parent = cells[0]
    for least in (1, 2, 3):
        cell = admitted_neighbour(
            space, random.Random(0), lambda: parent, lambda cell, least=least: changes(parent, cell) >= least
        )
        assert changes(parent, cell) == least


def test_no_neighbour_where_none_is_admitted(space, cells):
    assert admitted_neighbour(space, random.Random(0), lambda: cells[0], lambda cell: False) is None


def test_the_last_cell_of_a_small_space_is_found(space):
    last = space.decode((0, 8, 1, 7, 2, 6))  # one of 4374
    assert draw_uniformly(space, random.Random(0), lambda cell: cell == last).cell == last


def test_where_no_cell_is_left_the_error_says_how_many_draws_were_made():
    space = SearchSpace(num_branches=1)
    assert load_cell("conv1x1") in space
    with pytest.raises(SpaceExhaustedError, match=r"in 1620 draws from a space of 81: .*--min_receptive_field"):
        draw_uniformly(space, random.Random(0), lambda cell: False)
