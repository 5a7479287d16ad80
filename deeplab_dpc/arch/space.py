"""The search space of dense prediction cells (Chen et al., NeurIPS 2018, arXiv:1809.04184, Sec. 3.1 and 3.2)."""

import dataclasses
import functools
import itertools
import math
import random
from collections.abc import Sequence
from typing import Any

from deeplab_dpc import own_parts
from deeplab_dpc.arch.cell import Branch, Cell
from deeplab_dpc.arch.integers import is_integer
from deeplab_dpc.arch.operations import OPERATIONS, Operation, own_operation
from deeplab_dpc.arch.operations.atrous_conv import RATES
from deeplab_dpc.arch.operations.pyramid_pooling import GRIDS
from deeplab_dpc.errors import UserError


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """The space of all cells with `num_branches` branches: 1x1, 3x3 atrous, pyramid pooling and further operations.

    A cell is encoded as two integers per branch: its input + 1, in [0, i] for branch i, and the index of its operation.

    Example:
        import random
        from deeplab_dpc import SearchSpace

        space = SearchSpace(num_branches=3, rates=(1, 6, 12), grids=(1, 2, 4))
        cell = space.sample(random.Random(0))
        assert cell in space
        print(space.size, cell.summary())

    Args:
      num_branches: number of branches, >= 1; the paper's B.
      rates: values of rate_h and rate_w, in feature-map cells at output stride 16.
      grids: values of grid_h and grid_w, in grid cells.
      further_operations: names of further operations, which other packages add.

    Raises:
      UserError: if an argument is out of range, a rate or grid occurs twice, or an operation is not installed.
    """

    num_branches: int = 5
    rates: tuple[int, ...] = RATES
    grids: tuple[int, ...] = GRIDS
    further_operations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not is_integer(self.num_branches) or self.num_branches < 1:
            raise UserError(f"`num_branches` must be an integer >= 1, got {self.num_branches!r}.")
        for name in ("rates", "grids"):
            values = getattr(self, name)
            valid = isinstance(values, tuple) and all(is_integer(value) and value >= 1 for value in values)
            if not valid or len(set(values)) < len(values):
                raise UserError(f"`{name}` must be a tuple of distinct integers >= 1, got {values!r}.")
        further = self.further_operations
        if not isinstance(further, tuple) or len(set(further)) < len(further):
            raise UserError(f"`further_operations` must be a tuple of distinct names, got {further!r}.")
        installed = own_parts.names(own_parts.OPERATIONS)
        for name in further:
            if name not in installed:
                known = f"there are {', '.join(installed)}" if installed else "there is none"
                raise UserError(
                    f"No installed package has an operation {name!r} for the search space; in the entry points "
                    f"{own_parts.OPERATIONS} {known}."
                )

    @functools.cached_property
    def operations(self) -> tuple[Operation, ...]:
        """Returns the operations of each kind, in the order of the table; of a pair, the width varies fastest."""
        kinds = (*OPERATIONS, *map(own_operation, self.further_operations))
        return tuple(itertools.chain.from_iterable(kind.choices(self.rates, self.grids) for kind in kinds))

    @property
    def size(self) -> int:
        """Returns the number of cells, B! * |operations| ** B; equivalent cells are counted separately."""
        cells: int = math.factorial(self.num_branches) * len(self.operations) ** self.num_branches
        return cells

    def __contains__(self, cell: Any) -> bool:
        return (
            isinstance(cell, Cell)
            and len(cell.branches) == self.num_branches
            and all(branch.operation in self._operation_index for branch in cell.branches)
        )

    def sample(self, rng: random.Random) -> Cell:
        """Returns a cell drawn uniformly from the space."""
        return self.decode([rng.randrange(choices) for choices in self._choices])

    def neighbour(self, rng: random.Random, cell: Cell, num_changes: int = 1) -> Cell:
        """Returns a cell that differs from `cell` in exactly `num_changes` decisions, drawn uniformly.

        A decision is a branch's input or a branch's operation; one with a single choice (such as the first branch's
        input) cannot change.

        Raises:
          UserError: if `cell` is not in the space, or if it has fewer than `num_changes` decisions.
        """
        codes = list(self.encode(cell))
        if not 1 <= num_changes <= self.num_decisions:
            raise UserError(f"`num_changes` must be in [1, {self.num_decisions}] in this space, got {num_changes}.")
        for position in rng.sample(self._decisions, num_changes):
            other = rng.randrange(self._choices[position] - 1)
            codes[position] = other + (other >= codes[position])  # skips the present value
        return self.decode(codes)

    @property
    def num_decisions(self) -> int:
        """Returns the number of inputs and operations of a cell that can be chosen."""
        return len(self._decisions)

    def encode(self, cell: Cell) -> tuple[int, ...]:
        """Returns the cell as integers: (input + 1, operation index) of each branch in turn.

        Raises:
          UserError: if `cell` is not in the space.
        """
        if len(cell.branches) != self.num_branches:
            raise UserError(f"The search space has cells of {self.num_branches} branches, got {len(cell.branches)}.")
        codes: list[int] = []
        for index, branch in enumerate(cell.branches):
            if branch.operation not in self._operation_index:
                raise UserError(f"branch {index}: the operation ({branch.operation}) is not in the search space.")
            codes += (branch.input + 1, self._operation_index[branch.operation])
        return tuple(codes)

    def decode(self, codes: Sequence[int]) -> Cell:
        """Returns the cell whose encoding is `codes`.

        Raises:
          UserError: if there are not two codes per branch, or if one is out of range.
        """
        if len(codes) != len(self._choices):
            raise UserError(f"`codes` must be {len(self._choices)} integers, got {len(codes)}.")
        for position, (code, choices) in enumerate(zip(codes, self._choices, strict=True)):
            if not 0 <= code < choices:
                raise UserError(f"`codes[{position}]` must be in [0, {choices - 1}], got {code}.")
        pairs = zip(codes[::2], codes[1::2], strict=True)
        return Cell(tuple(Branch(source - 1, self.operations[operation]) for source, operation in pairs))

    @functools.cached_property
    def _choices(self) -> tuple[int, ...]:
        """Returns the number of values that each code can have."""
        return tuple(itertools.chain.from_iterable((i + 1, len(self.operations)) for i in range(self.num_branches)))

    @functools.cached_property
    def _decisions(self) -> list[int]:
        """Returns the indices of the codes that have more than one possible value."""
        return [position for position, choices in enumerate(self._choices) if choices > 1]

    @functools.cached_property
    def _operation_index(self) -> dict[Operation, int]:
        return {operation: index for index, operation in enumerate(self.operations)}
