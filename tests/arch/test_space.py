"""The search space: size, sampling, neighbours, integer encoding."""

import collections
import math
import random

import pytest

from deeplab_dpc.arch.cell import BACKBONE, Branch, Cell
from deeplab_dpc.arch.operations import AtrousConv, Conv1x1, PyramidPooling
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.errors import UserError

TINY = SearchSpace(num_branches=2, rates=(1,), grids=())  # 2 operations: 1! * 2 * 2! * 2 = 8 cells


def test_paper_space_has_81_operations_in_order():
    operations = SearchSpace().operations
    assert len(set(operations)) == len(operations) == 81
    assert operations[0] == Conv1x1()
    assert operations[1:4] == (AtrousConv((1, 1)), AtrousConv((1, 3)), AtrousConv((1, 6)))
    assert operations[64:67] == (AtrousConv((21, 21)), PyramidPooling((1, 1)), PyramidPooling((1, 2)))
    assert operations[80] == PyramidPooling((8, 8))


def test_paper_space_size():
    assert SearchSpace().size == math.factorial(5) * 81**5 == 418414128120
    assert SearchSpace(num_branches=1).size == 81
    assert TINY.size == 8


def test_codes_are_input_plus_one_and_operation_index():
    cell = Cell((Branch(BACKBONE, PyramidPooling((8, 8))), Branch(0, Conv1x1())))
    space = SearchSpace(num_branches=2)
    assert space.encode(cell) == (0, 80, 1, 0)
    assert space.decode([0, 80, 1, 0]) == cell


def test_decoding_reverses_encoding_of_random_cells():
    space, rng = SearchSpace(), random.Random(0)
    cells = [space.sample(rng) for _ in range(200)]
    assert [space.decode(space.encode(cell)) for cell in cells] == cells


def test_every_cell_of_a_tiny_space_is_drawn_equally_often():
    rng = random.Random(0)
    counts = collections.Counter(TINY.sample(rng) for _ in range(8000))
    assert len(counts) == 8
    assert max(abs(count - 1000) for count in counts.values()) < 120  # 4 standard deviations


def test_sampling_is_repeatable():
    assert SearchSpace().sample(random.Random(7)) == SearchSpace().sample(random.Random(7))


@pytest.mark.parametrize("num_changes", [1, 2, 5, 9])
def test_neighbours_differ_in_exactly_the_decisions_asked_for(num_changes):
    space, rng = SearchSpace(), random.Random(1)
    for _ in range(100):
        cell = space.sample(rng)
        other = space.neighbour(rng, cell, num_changes)
        changed = [a != b for a, b in zip(space.encode(cell), space.encode(other), strict=True)]
        assert sum(changed) == num_changes
        assert other in space


def test_neighbours_are_drawn_uniformly_over_decisions_and_values():
    space, rng = SearchSpace(num_branches=2, rates=(1,), grids=(1,)), random.Random(2)
    cell = space.decode((0, 1, 1, 0))
    counts = collections.Counter(space.encode(space.neighbour(rng, cell)) for _ in range(6000))
    assert counts.keys() == {(0, 0, 1, 0), (0, 2, 1, 0), (0, 1, 0, 0), (0, 1, 1, 1), (0, 1, 1, 2)}
    assert abs(counts[(0, 1, 0, 0)] - 2000) < 150  # the only other input, of 3 decisions
    for codes in counts.keys() - {(0, 1, 0, 0)}:
        assert abs(counts[codes] - 1000) < 120  # each of 2 other operations


def test_membership():
    space = SearchSpace(num_branches=1)
    assert Cell((Branch(BACKBONE, AtrousConv((1, 21))),)) in space
    assert Cell((Branch(BACKBONE, AtrousConv((1, 2))),)) not in space
    assert Cell((Branch(BACKBONE, Conv1x1()),) * 2) not in space
    assert "conv1x1" not in space


def test_cells_outside_the_space_cannot_be_encoded():
    with pytest.raises(UserError, match="cells of 2 branches, got 1"):
        TINY.encode(Cell((Branch(BACKBONE, Conv1x1()),)))
    outside = Cell((Branch(BACKBONE, Conv1x1()), Branch(0, AtrousConv((2, 2)))))
    with pytest.raises(UserError, match=r"branch 1: the operation \(3x3 atrous conv, rate 2x2\) is not in the search"):
        TINY.neighbour(random.Random(0), outside)


def test_codes_out_of_range_are_errors():
    with pytest.raises(UserError, match=r"`codes\[2\]` must be in \[0, 1\], got 2"):
        TINY.decode((0, 0, 2, 0))
    with pytest.raises(UserError, match=r"`codes\[1\]` must be in \[0, 1\], got -1"):
        TINY.decode((0, -1, 0, 0))
    with pytest.raises(UserError, match="`codes` must be 4 integers, got 3"):
        TINY.decode((0, 0, 0))


@pytest.mark.parametrize("num_changes", [0, 4])
def test_number_of_changes_is_limited_by_the_decisions(num_changes):
    with pytest.raises(UserError, match=rf"`num_changes` must be in \[1, 3\] in this space, got {num_changes}"):
        TINY.neighbour(random.Random(0), TINY.decode((0, 0, 0, 0)), num_changes)


def test_arguments_are_checked():
    with pytest.raises(UserError, match="`num_branches` must be an integer >= 1, got 0"):
        SearchSpace(num_branches=0)
    with pytest.raises(UserError, match=r"`rates` must be a tuple of distinct integers >= 1, got \(1, 1\)"):
        SearchSpace(rates=(1, 1))
    with pytest.raises(UserError, match=r"`grids` must be a tuple of distinct integers >= 1, got \(0,\)"):
        SearchSpace(grids=(0,))
