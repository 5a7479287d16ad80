"""Dense prediction cells as frozen values (Chen et al., NeurIPS 2018, arXiv:1809.04184, Sec. 3.1)."""

import dataclasses
import hashlib
import json
from typing import Any

from deeplab_dpc import own_parts
from deeplab_dpc.arch.integers import is_integer
from deeplab_dpc.arch.operations import OPERATIONS, Operation, known_operations, own_operation
from deeplab_dpc.arch.operations.base import required
from deeplab_dpc.errors import UserError

BACKBONE = -1  # the `input` of a branch that reads the backbone's features
FILTERS = 256  # output channels of every convolution; arXiv:1809.04184, Sec. 3.1

_EXAMPLE = '{"kernel": 3, "rate": [1, 6], "op": "conv", "input": -1}'


@dataclasses.dataclass(frozen=True)
class Branch:
    """An operation and its input: BACKBONE or the index of an earlier branch."""

    input: int
    operation: Operation

    def __post_init__(self) -> None:
        if not is_integer(self.input) or self.input < BACKBONE:
            raise UserError(f"`input` must be -1 (the backbone) or the index of an earlier branch, got {self.input!r}.")
        if not isinstance(self.operation, Operation):
            names = [kind.__name__ for kind in known_operations()]
            known = f"{', '.join(names[:-1])} or {names[-1]}"
            raise UserError(f"`operation` must be {known}, got {self.operation!r}.")


@dataclasses.dataclass(frozen=True)
class Cell:
    """A dense prediction cell: a projection of the concatenated outputs of all branches.

    Any number of branches, rates and grids is allowed; SearchSpace restricts them.

    Example:
        from deeplab_dpc import Cell
        from deeplab_dpc.arch import BACKBONE, AtrousConv, Branch, PyramidPooling

        cell = Cell((Branch(BACKBONE, AtrousConv((1, 6))), Branch(0, PyramidPooling((2, 2)))))
        print(cell.describe())
        assert Cell.from_json(cell.to_json()) == cell

    Args:
      branches: branches of the cell, each of which reads the backbone or an earlier branch.

    Raises:
      UserError: if there is no branch, or if a branch reads one that does not come before it.
    """

    branches: tuple[Branch, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.branches, tuple) or not all(isinstance(branch, Branch) for branch in self.branches):
            raise UserError(f"`branches` must be a tuple of Branch, got {self.branches!r}.")
        if not self.branches:
            raise UserError("A cell must have at least one branch, got none.")
        for index, branch in enumerate(self.branches):
            if branch.input >= index:
                earlier = "-1 (the backbone)" + (f" or less than {index}" if index else "")
                raise UserError(
                    f"branch {index} reads branch {branch.input}, which does not come before it; "
                    f"`input` must be {earlier}."
                )

    def __str__(self) -> str:
        return self.describe()

    def describe(self) -> str:
        """Returns one line per branch, such as 'branch 0: backbone -> 3x3 atrous conv, rate 1x6'."""
        return "\n".join(
            f"branch {index}: {'backbone' if branch.input == BACKBONE else f'branch {branch.input}'}"
            f" -> {branch.operation}"
            for index, branch in enumerate(self.branches)
        )

    def summary(self) -> str:
        """Returns one line, such as 'B>3x3@1x6 0>1x1': for each branch its input (B is the backbone), > and its
        operation.
        """
        return " ".join(
            f"{'B' if branch.input == BACKBONE else branch.input}>{branch.operation.summary()}"
            for branch in self.branches
        )

    def to_json(self) -> list[dict[str, Any]]:
        """Returns the cell as DeepLab writes it: a list of {"kernel", "rate", "grid_size", "op", "input"}."""
        return [{**branch.operation.to_json(), "input": branch.input} for branch in self.branches]

    @classmethod
    def from_json(cls, value: Any) -> "Cell":
        """Returns the cell of DeepLab's JSON, already decoded.

        A scalar rate or grid applies to both sides, a 3x3 convolution without rate has rate 1x1, and a pooling may
        have the kernel 1.

        Raises:
          UserError: if anything is missing, unknown or out of range.
        """
        if not isinstance(value, list):
            raise UserError(f"A cell must be a list of branches such as [{_EXAMPLE}], got {value!r}.")
        branches = []
        for index, entry in enumerate(value):
            try:
                branches.append(_branch_from_json(entry))
            except UserError as error:
                raise UserError(f"branch {index}: {error}") from error
        return cls(tuple(branches))

    def canonical(self) -> "Cell":
        """Returns the representative of all equivalent cells, up to the order of the projection's weights.

        Each branch has one input, so the branches form a forest below the backbone and their order is free: subtrees
        are sorted. A feature map that is constant along an axis (as the output of a grid with one cell along it) equals
        its own mean in every grid cell. Along such an axis the grid of a pooling does not matter and is set to 1; where
        both axes are constant, a pooling becomes a 1x1 convolution. The output of an atrous convolution is not
        constant, because of its zero padding.
        """
        operations = _simplified_operations(self)
        subtrees: list[list[_Subtree]] = [[] for _ in range(len(self.branches) + 1)]  # the last is that of BACKBONE, -1
        for index in reversed(range(len(self.branches))):
            subtree = _Subtree(operations[index].sort_key, tuple(sorted(subtrees[index])), operations[index])
            subtrees[self.branches[index].input].append(subtree)
        branches: list[Branch] = []
        for subtree in sorted(subtrees[BACKBONE]):
            subtree.append_to(branches, BACKBONE)
        return Cell(tuple(branches))

    def digest(self) -> str:
        """Returns 12 hexadecimal digits, which are equal for cells with the same canonical form."""
        text = json.dumps(self.canonical().to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclasses.dataclass(frozen=True, order=True)
class _Subtree:
    """A branch and all branches that read it; `sort_key` determines `operation`."""

    sort_key: tuple[int, ...]
    children: tuple["_Subtree", ...]
    operation: Operation = dataclasses.field(compare=False)

    def append_to(self, branches: list[Branch], source: int) -> None:
        index = len(branches)
        branches.append(Branch(source, self.operation))
        for child in self.children:
            child.append_to(branches, index)


def _simplified_operations(cell: Cell) -> list[Operation]:
    operations: list[Operation] = []
    constant: list[tuple[bool, bool]] = []
    for branch in cell.branches:
        reads = (False, False) if branch.input == BACKBONE else constant[branch.input]
        operations.append(branch.operation.simplified(reads))
        constant.append(branch.operation.constant_axes(reads))
    return operations


def _branch_from_json(entry: Any) -> Branch:
    if not isinstance(entry, dict):
        raise UserError(f"must be an object such as {_EXAMPLE}, got {entry!r}.")
    op = required(entry, "op")
    kinds = [kind for kind in OPERATIONS if op == kind.OP]
    if not kinds and op in own_parts.names(own_parts.OPERATIONS):
        kinds = [own_operation(op)]  # no other one is loaded
    if not kinds:
        known = " or ".join(f'"{name}"' for name in dict.fromkeys(kind.OP for kind in known_operations()))
        raise UserError(f"`op` must be {known}, got {op!r}.")
    _check_keys(entry, "input", "op", *kinds[0].KEYS)
    operation = _kind_of_kernel(entry, kinds).from_json(entry)
    return Branch(required(entry, "input"), operation)


def _kind_of_kernel(entry: dict[str, Any], kinds: list[type[Operation]]) -> type[Operation]:
    """Returns the kind with the entry's kernel among kinds with the same `op`; the kernel may be omitted if there is
    only one kind.
    """
    kernel = required(entry, "kernel") if len(kinds) > 1 else entry.get("kernel", kinds[0].KERNEL)
    by_kernel = {kind.KERNEL: kind for kind in kinds}
    if not is_integer(kernel) or kernel not in by_kernel:
        raise UserError(f"`kernel` must be {' or '.join(map(str, by_kernel))}, got {kernel!r}.")
    return by_kernel[kernel]


def _check_keys(entry: dict[str, Any], *known: str) -> None:
    unknown = [key for key in entry if key not in known]
    if unknown:
        raise UserError(f'unknown key {unknown[0]!r}; a "{entry["op"]}" branch has only {", ".join(known)}.')
