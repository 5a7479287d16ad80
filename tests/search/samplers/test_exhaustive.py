"""Every cell of a small space."""

import itertools

import pytest

from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.samplers.exhaustive import Exhaustive, canonical_cells, num_distinct_cells
from deeplab_dpc.search.samplers.sampler import SpaceExhaustedError

SPACES = [
    SearchSpace(num_branches=1),
    SearchSpace(num_branches=2, rates=(1,), grids=()),
    SearchSpace(num_branches=2, rates=(), grids=(1, 2)),
    SearchSpace(num_branches=3, rates=(1,), grids=(1, 2)),
    SearchSpace(num_branches=4, rates=(1,), grids=(1,)),
    SearchSpace(num_branches=5, rates=(), grids=(1,)),
]


def digests(space):
    """Of all encodings, by brute force."""
    operations = range(len(space.operations))
    choices = [choice for branch in range(space.num_branches) for choice in (range(branch + 1), operations)]
    return {space.decode(codes).digest() for codes in itertools.product(*choices)}


@pytest.mark.parametrize("space", SPACES, ids=lambda space: str(space.size))
def test_each_canonical_form_comes_once_and_is_counted(space):
    found = [cell.digest() for cell in canonical_cells(space)]
    assert len(found) == len(set(found)) == num_distinct_cells(space)
    assert set(found) == digests(space)


def test_counts_by_hand():
    # One branch: the operations. Two branches of operations a, b: {a, a}, {a, b}, {b, b} side by side, and 4 chains.
    assert num_distinct_cells(SearchSpace(num_branches=1)) == 81
    assert num_distinct_cells(SearchSpace(num_branches=2, rates=(1,), grids=())) == 3 + 4
    # 1x1 pooling p, convolution c: side by side 3; chains cc, cp, pc, and pp, which is pc.
    assert num_distinct_cells(SearchSpace(num_branches=2, rates=(), grids=(1,))) == 3 + 3


def test_all_cells_are_drawn_in_order_until_the_space_is_exhausted(draw):
    space = SearchSpace(num_branches=2, rates=(1,), grids=(1,))
    sampler, drawn = Exhaustive(space), []
    for number in range(num_distinct_cells(space)):
        item = draw(sampler, number, drawn)
        assert item.how == "exhaustive"
        drawn.append(item.cell)
    assert drawn == list(canonical_cells(space))
    with pytest.raises(SpaceExhaustedError, match=f"All {len(drawn)} different cells of the space have been drawn"):
        draw(sampler, len(drawn), drawn)


def test_a_large_space_is_refused_with_the_flags_that_make_it_smaller():
    with pytest.raises(
        UserError, match=r"has 418,414,128,120 \([\d,]+ different cells\); a lower --num_branches, fewer"
    ):
        Exhaustive(SearchSpace())
