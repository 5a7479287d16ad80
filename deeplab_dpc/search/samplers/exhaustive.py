"""The sampler that draws every cell of a small space once."""

import collections
import functools
import itertools
import math
import random
from collections.abc import Callable, Iterator
from typing import Self

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.samplers.sampler import Draw, SpaceExhaustedError
from deeplab_dpc.search.scored import ProxyScore

MAX_ENCODINGS = 1_000_000  # checking all of them takes a minute


class Exhaustive:
    """A sampler that draws the cells of the space in the order of their encodings, each once, in its canonical form.

    Args:
      space: space of the cells.

    Raises:
      UserError: if the space is too large.
    """

    def __init__(self, space: SearchSpace):
        if space.size > MAX_ENCODINGS:
            raise UserError(
                f"--sampler=exhaustive goes through at most {MAX_ENCODINGS:,} encodings of cells, and this space has "
                f"{space.size:,} ({num_distinct_cells(space):,} different cells); a lower --num_branches, fewer "
                "--cell_rates and fewer --cell_grids make it smaller."
            )
        self.space = space
        self._remaining = canonical_cells(space)
        self._next = next(self._remaining, None)

    @classmethod
    def from_config(cls, config: SearchConfig, space: SearchSpace, multiply_adds: Callable[[Cell], int]) -> Self:
        """Returns the sampler of a search's configuration."""
        return cls(space)

    def observe(self, number: int, cell: Cell, score: ProxyScore) -> None:
        """Ignores the score, since the order does not depend on scores."""

    def draw(self, number: int, rng: random.Random, admits: Callable[[Cell], bool]) -> Draw:
        # A skipped cell was drawn before or is outside the constraints, and so will never be admitted again. The drawn
        # cell is kept, so that the same number has the same cell if it is drawn once more.
        while self._next is not None:
            if admits(self._next):
                return Draw(self._next, "exhaustive")
            self._next = next(self._remaining, None)
        raise SpaceExhaustedError(
            f"All {num_distinct_cells(self.space):,} different cells of the space have been drawn, or are outside "
            "--max_params, --max_madds, --min_receptive_field or --max_receptive_field."
        )


def canonical_cells(space: SearchSpace) -> Iterator[Cell]:
    """Returns the cells of the space that are their own canonical form, in the order of their encodings."""
    operations = range(len(space.operations))
    choices = itertools.chain.from_iterable((range(branch + 1), operations) for branch in range(space.num_branches))
    cells = (space.decode(codes) for codes in itertools.product(*choices))
    return (cell for cell in cells if cell.canonical() == cell)


def num_distinct_cells(space: SearchSpace) -> int:
    """Returns the number of canonical forms of the cells in the space, which may be large.

    Branches form the trees of a forest below the backbone, whose order is free, and poolings of features that are
    constant along an axis are equivalent (Cell.canonical). So the forests of n branches are counted by the number of
    their trees of the largest size: k of t different trees of s branches can be chosen in (t + k - 1) over k ways.
    """

    @functools.cache
    def trees(branches: int, constant: tuple[bool, bool]) -> int:
        """Returns the number of trees with that number of branches, whose input is constant along those axes."""
        different = {operation.simplified(constant) for operation in space.operations}
        roots = collections.Counter(operation.constant_axes(constant) for operation in different)
        return sum(count * forests(branches - 1, branches - 1, inner) for inner, count in roots.items())

    @functools.cache
    def forests(branches: int, largest: int, constant: tuple[bool, bool]) -> int:
        """Returns the number of forests with that number of branches in trees of at most `largest` branches."""
        if branches == 0:
            return 1
        if largest == 0:
            return 0
        different = trees(largest, constant)
        return sum(
            math.comb(different + chosen - 1, chosen) * forests(branches - chosen * largest, largest - 1, constant)
            for chosen in range(branches // largest + 1)
        )

    return forests(space.num_branches, space.num_branches, (False, False))
