"""Dense prediction cells as frozen values (Chen et al., NeurIPS 2018, arXiv:1809.04184, Sec. 3.1)."""

import dataclasses
import hashlib
import json
from typing import Any, ClassVar

from deeplab_dpc.errors import UserError

BACKBONE = -1  # the `input` of a branch that reads the backbone's features
RATES = (1, 3, 6, 9, 12, 15, 18, 21)  # arXiv:1809.04184, Sec. 3.1; in feature-map cells at output stride 16
GRIDS = (1, 2, 4, 8)  # arXiv:1809.04184, Sec. 3.1
RATE_OUTPUT_STRIDE = 16  # of the features that RATES are meant for
FILTERS = 256  # of every convolution; arXiv:1809.04184, Sec. 3.1

_EXAMPLE = '{"kernel": 3, "rate": [1, 6], "op": "conv", "input": -1}'


def is_integer(value: Any) -> bool:
    """Whether `value` is an int; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _check_pair(name: str, value: Any) -> None:
    if not (isinstance(value, tuple) and len(value) == 2 and all(is_integer(side) and side >= 1 for side in value)):
        raise UserError(f"`{name}` must be two integers >= 1, (height, width), got {value!r}.")


@dataclasses.dataclass(frozen=True)
class Conv1x1:
    """1x1 convolution."""

    sort_key: ClassVar[tuple[int, ...]] = (0,)

    def __str__(self) -> str:
        return "1x1 conv"

    def summary(self) -> str:
        return "1x1"

    def to_json(self) -> dict[str, Any]:
        return {"kernel": 1, "op": "conv"}


@dataclasses.dataclass(frozen=True)
class AtrousConv:
    """3x3 atrous separable convolution; rate: (rate_h, rate_w) in feature-map cells at output stride 16, each >= 1."""

    rate: tuple[int, int]

    def __post_init__(self) -> None:
        _check_pair("rate", self.rate)

    def rate_at(self, output_stride: int) -> tuple[int, int]:
        """Returns (rate_h, rate_w) in cells of features at that output stride: times 16 / output_stride, at least 1."""
        rate_h, rate_w = (max(1, rate * RATE_OUTPUT_STRIDE // output_stride) for rate in self.rate)
        return rate_h, rate_w

    @property
    def sort_key(self) -> tuple[int, ...]:
        return (1, *self.rate)

    def __str__(self) -> str:
        return f"3x3 atrous conv, rate {self.rate[0]}x{self.rate[1]}"

    def summary(self) -> str:
        return f"3x3@{self.rate[0]}x{self.rate[1]}"

    def to_json(self) -> dict[str, Any]:
        return {"kernel": 3, "rate": list(self.rate), "op": "conv"}


@dataclasses.dataclass(frozen=True)
class PyramidPooling:
    """Means over a grid, 1x1 convolution, bilinear upsampling; grid: (grid_h, grid_w) in grid cells, each >= 1."""

    grid: tuple[int, int]

    def __post_init__(self) -> None:
        _check_pair("grid_size", self.grid)

    @property
    def sort_key(self) -> tuple[int, ...]:
        return (2, *self.grid)

    def __str__(self) -> str:
        return f"pyramid pooling, grid {self.grid[0]}x{self.grid[1]}"

    def summary(self) -> str:
        return f"pool@{self.grid[0]}x{self.grid[1]}"

    def to_json(self) -> dict[str, Any]:
        return {"grid_size": list(self.grid), "op": "pyramid_pooling"}


Operation = Conv1x1 | AtrousConv | PyramidPooling


@dataclasses.dataclass(frozen=True)
class Branch:
    """An operation and what it reads; input: BACKBONE or the index of an earlier branch."""

    input: int
    operation: Operation

    def __post_init__(self) -> None:
        if not is_integer(self.input) or self.input < BACKBONE:
            raise UserError(f"`input` must be -1 (the backbone) or the index of an earlier branch, got {self.input!r}.")
        if not isinstance(self.operation, Operation):
            raise UserError(f"`operation` must be Conv1x1, AtrousConv or PyramidPooling, got {self.operation!r}.")


@dataclasses.dataclass(frozen=True)
class Cell:
    """A dense prediction cell: the projection of the concatenation of all branches' outputs.

    Any number of branches, rates and grids; SearchSpace is what restricts them.

    Example:
        from deeplab_dpc import Cell
        from deeplab_dpc.arch import BACKBONE, AtrousConv, Branch, PyramidPooling

        cell = Cell((Branch(BACKBONE, AtrousConv((1, 6))), Branch(0, PyramidPooling((2, 2)))))
        print(cell.describe())
        assert Cell.from_json(cell.to_json()) == cell

    Args:
      branches: the operations, each with what it reads.

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
        """One line a branch, such as 'branch 0: backbone -> 3x3 atrous conv, rate 1x6'."""
        return "\n".join(
            f"branch {index}: {'backbone' if branch.input == BACKBONE else f'branch {branch.input}'}"
            f" -> {branch.operation}"
            for index, branch in enumerate(self.branches)
        )

    def summary(self) -> str:
        """One line, such as 'B>3x3@1x6 0>1x1': what each branch reads (B is the backbone) > its operation."""
        return " ".join(
            f"{'B' if branch.input == BACKBONE else branch.input}>{branch.operation.summary()}"
            for branch in self.branches
        )

    def to_json(self) -> list[dict[str, Any]]:
        """The cell as DeepLab writes it: a list of {"kernel", "rate", "grid_size", "op", "input"}."""
        return [{**branch.operation.to_json(), "input": branch.input} for branch in self.branches]

    @classmethod
    def from_json(cls, value: Any) -> "Cell":
        """Reads DeepLab's JSON, already decoded.

        A scalar rate or grid stands for both sides, a 3x3 convolution without rate has rate 1x1, and a pooling may
        name its kernel 1.

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
        """The representative of all cells that compute the same, up to the order of the projection's weights.

        Each branch has one input, so the branches are a forest under the backbone and their order is free: subtrees
        are sorted. What is constant along an axis (as a grid of one cell along it gives) is its own mean in every grid
        cell there: along that axis the grid of a pooling does not matter and is 1, and where both axes are constant a
        pooling is a 1x1 convolution. An atrous convolution is not constant, because of its zero padding.
        """
        operations = _simplified_operations(self)
        subtrees: list[list[_Subtree]] = [[] for _ in range(len(self.branches) + 1)]  # the last: of BACKBONE, -1
        for index in reversed(range(len(self.branches))):
            subtree = _Subtree(operations[index].sort_key, tuple(sorted(subtrees[index])), operations[index])
            subtrees[self.branches[index].input].append(subtree)
        branches: list[Branch] = []
        for subtree in sorted(subtrees[BACKBONE]):
            subtree.append_to(branches, BACKBONE)
        return Cell(tuple(branches))

    def digest(self) -> str:
        """12 hexadecimal digits, equal for cells with the same canonical form."""
        text = json.dumps(self.canonical().to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclasses.dataclass(frozen=True, order=True)
class _Subtree:
    """A branch and all that reads it; `sort_key` determines `operation`."""

    sort_key: tuple[int, ...]
    children: tuple["_Subtree", ...]
    operation: Operation = dataclasses.field(compare=False)

    def append_to(self, branches: list[Branch], source: int) -> None:
        index = len(branches)
        branches.append(Branch(source, self.operation))
        for child in self.children:
            child.append_to(branches, index)


def simplified(operation: Operation, constant: tuple[bool, bool]) -> Operation:
    """Returns the representative of the operations that do the same to an input that is constant along some axes.

    Args:
      constant: whether the input is constant along its (height, width).
    """
    if not isinstance(operation, PyramidPooling):
        return operation
    if all(constant):
        return Conv1x1()
    down, across = (1 if along else side for side, along in zip(operation.grid, constant, strict=True))
    return PyramidPooling((down, across))


def constant_axes(operation: Operation, constant: tuple[bool, bool]) -> tuple[bool, bool]:
    """Returns whether the output is constant along (height, width), if the input is along those axes."""
    if isinstance(operation, AtrousConv):
        return False, False
    if isinstance(operation, PyramidPooling):
        return constant[0] or operation.grid[0] == 1, constant[1] or operation.grid[1] == 1
    return constant


def _simplified_operations(cell: Cell) -> list[Operation]:
    operations: list[Operation] = []
    constant: list[tuple[bool, bool]] = []
    for branch in cell.branches:
        reads = (False, False) if branch.input == BACKBONE else constant[branch.input]
        operations.append(simplified(branch.operation, reads))
        constant.append(constant_axes(branch.operation, reads))
    return operations


def _branch_from_json(entry: Any) -> Branch:
    if not isinstance(entry, dict):
        raise UserError(f"must be an object such as {_EXAMPLE}, got {entry!r}.")
    op = _required(entry, "op")
    if op == "conv":
        _check_keys(entry, "input", "op", "kernel", "rate")
        operation = _conv_from_json(entry)
    elif op == "pyramid_pooling":
        _check_keys(entry, "input", "op", "kernel", "grid_size")
        _check_kernel(entry.get("kernel", 1), 1)
        operation = PyramidPooling(_pair(_required(entry, "grid_size")))
    else:
        raise UserError(f'`op` must be "conv" or "pyramid_pooling", got {op!r}.')
    return Branch(_required(entry, "input"), operation)


def _conv_from_json(entry: dict[str, Any]) -> Operation:
    kernel = _required(entry, "kernel")
    _check_kernel(kernel, 1, 3)
    if kernel == 3:
        return AtrousConv(_pair(entry.get("rate", 1)))
    if _pair(entry.get("rate", 1)) != (1, 1):
        raise UserError(f"`rate` of a 1x1 convolution must be 1 or absent, got {entry['rate']!r}.")
    return Conv1x1()


def _required(entry: dict[str, Any], key: str) -> Any:
    if key not in entry:
        raise UserError(f"`{key}` is missing in {entry!r}.")
    return entry[key]


def _check_keys(entry: dict[str, Any], *known: str) -> None:
    unknown = [key for key in entry if key not in known]
    if unknown:
        raise UserError(f'unknown key {unknown[0]!r}; a "{entry["op"]}" branch has only {", ".join(known)}.')


def _check_kernel(kernel: Any, *known: int) -> None:
    if not is_integer(kernel) or kernel not in known:
        raise UserError(f"`kernel` must be {' or '.join(map(str, known))}, got {kernel!r}.")


def _pair(value: Any) -> Any:
    """A scalar as both sides, a list as a tuple; the operation checks the rest."""
    if is_integer(value):
        return (value, value)
    return tuple(value) if isinstance(value, list) else value
