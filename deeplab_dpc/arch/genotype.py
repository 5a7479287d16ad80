"""Architectures of Auto-DeepLab as frozen values (Liu et al., CVPR 2019, arXiv:1901.02985, Sec. 3)."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from deeplab_dpc.arch.integers import is_integer
from deeplab_dpc.errors import UserError

STRIDES = (4, 8, 16, 32)  # in pixels, by level
PREVIOUS, BEFORE_PREVIOUS = 0, 1  # states of a cell that are outputs of earlier cells; block i is state 2 + i
NUM_INPUTS = 2
ATROUS_RATE = 2  # of the atrous convolutions
POOLING_SIZE = 3  # side of the windows of poolings


@dataclasses.dataclass(frozen=True)
class Separable:
    """Two separable convolutions in a row, with square kernels of side `kernel_size`, 3 or 5."""

    kernel_size: int

    @property
    def name(self) -> str:
        return f"separable_{self.kernel_size}x{self.kernel_size}"


@dataclasses.dataclass(frozen=True)
class Atrous:
    """Full convolution of rate 2, with a square kernel of side `kernel_size`, 3 or 5."""

    kernel_size: int

    @property
    def name(self) -> str:
        return f"atrous_{self.kernel_size}x{self.kernel_size}"


@dataclasses.dataclass(frozen=True)
class AveragePooling:
    """3x3 average pooling."""

    name = "avg_pool_3x3"


@dataclasses.dataclass(frozen=True)
class MaxPooling:
    """3x3 max pooling."""

    name = "max_pool_3x3"


@dataclasses.dataclass(frozen=True)
class Skip:
    """The input itself."""

    name = "skip"


@dataclasses.dataclass(frozen=True)
class Zero:
    """No connection."""

    name = "zero"


Operator = Separable | Atrous | AveragePooling | MaxPooling | Skip | Zero
# arXiv:1901.02985, Sec. 3.1; in the order of the alphas' columns.
OPERATORS: tuple[Operator, ...] = (
    Separable(3),
    Separable(5),
    Atrous(3),
    Atrous(5),
    AveragePooling(),
    MaxPooling(),
    Skip(),
    Zero(),
)
_BY_NAME: dict[str, Operator] = {operator.name: operator for operator in OPERATORS}


@dataclasses.dataclass(frozen=True)
class Edge:
    """An operator and the state that it reads: PREVIOUS, BEFORE_PREVIOUS, or 2 + i for block i."""

    state: int
    operator: Operator

    def __post_init__(self) -> None:
        if not is_integer(self.state) or self.state < 0:
            raise UserError(f"`state` must be an integer >= 0, got {self.state!r}.")
        if self.operator not in OPERATORS or isinstance(self.operator, Zero):
            known = ", ".join(name for name in _BY_NAME if name != Zero.name)
            raise UserError(f"`operator` must be one of {known}, got {getattr(self.operator, 'name', self.operator)}.")

    def __str__(self) -> str:
        return f"{self.operator.name} of {state_name(self.state)}"


@dataclasses.dataclass(frozen=True)
class Block:
    """The sum of two edges."""

    left: Edge
    right: Edge

    @property
    def edges(self) -> tuple[Edge, Edge]:
        return (self.left, self.right)


@dataclasses.dataclass(frozen=True)
class Genotype:
    """A cell and the resolution path along which it is repeated.

    Attributes:
      blocks: blocks of the cell, whose output is their concatenation.
      path: level of each layer, from 0 for stride 4 to 3 for stride 32; neighbours differ by at most one, and so does
        the first level from the stem's 0.

    Raises:
      UserError: if a block reads one that does not come before it, or the path leaves the levels or skips one.
    """

    blocks: tuple[Block, ...]
    path: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.blocks or not self.path:
            raise UserError("A genotype must have at least one block and one layer in its path.")
        for index, block in enumerate(self.blocks):
            for edge in block.edges:
                if edge.state >= NUM_INPUTS + index:
                    raise UserError(
                        f"block {index} reads state {edge.state}, which does not come before it; "
                        f"`state` must be less than {NUM_INPUTS + index}."
                    )
        check_path(self.path)

    @property
    def output_stride(self) -> int:
        """Returns the stride of the last layer, in pixels."""
        return STRIDES[self.path[-1]]

    @property
    def largest_stride(self) -> int:
        """Returns the largest stride of all layers, in pixels."""
        return STRIDES[max(self.path)]

    def __str__(self) -> str:
        lines = [f"block {i}: {block.left} + {block.right}" for i, block in enumerate(self.blocks)]
        return "\n".join([*lines, f"path: {' '.join(str(STRIDES[level]) for level in self.path)}"])

    def to_json(self) -> dict[str, Any]:
        blocks = [
            {
                side: {"state": edge.state, "operator": edge.operator.name}
                for side, edge in (("left", block.left), ("right", block.right))
            }
            for block in self.blocks
        ]
        return {"blocks": blocks, "path": list(self.path)}

    @classmethod
    def from_json(cls, value: Any) -> "Genotype":
        """Reads the output of `to_json`.

        Raises:
          UserError: if anything is missing, unknown or out of range.
        """
        if not isinstance(value, dict) or set(value) != {"blocks", "path"}:
            raise UserError('A genotype must be an object {"blocks": [...], "path": [...]}.')
        if not isinstance(value["blocks"], list) or not isinstance(value["path"], list):
            raise UserError("`blocks` and `path` of a genotype must be lists.")
        blocks = []
        for index, entry in enumerate(value["blocks"]):
            try:
                blocks.append(_block_from_json(entry))
            except UserError as error:
                raise UserError(f"block {index}: {error}") from error
        return cls(tuple(blocks), tuple(value["path"]))


def state_name(state: int) -> str:
    """Returns the name of a state of a cell."""
    return {PREVIOUS: "H(l-1)", BEFORE_PREVIOUS: "H(l-2)"}.get(state, f"block {state - NUM_INPUTS}")


def check_path(path: Sequence[Any]) -> None:
    """Raises a UserError if the levels do not form a path that starts at the stem, at stride 4."""
    level = 0
    for layer, following in enumerate(path):
        if not is_integer(following) or not 0 <= following < len(STRIDES):
            raise UserError(f"`path` must hold levels 0 to {len(STRIDES) - 1}, got {following!r} in layer {layer}.")
        if abs(following - level) > 1:
            before = f"layer {layer - 1}" if layer else "the stem"
            raise UserError(
                f"`path` may change by one level a layer, but goes from {level} of {before} to {following} of layer "
                f"{layer}."
            )
        level = following


def _block_from_json(entry: Any) -> Block:
    if not isinstance(entry, dict) or set(entry) != {"left", "right"}:
        raise UserError('must be an object {"left": {...}, "right": {...}}.')
    return Block(_edge_from_json(entry["left"]), _edge_from_json(entry["right"]))


def _edge_from_json(entry: Any) -> Edge:
    if not isinstance(entry, dict) or set(entry) != {"state", "operator"}:
        raise UserError('an edge must be an object such as {"state": 0, "operator": "separable_3x3"}.')
    name = entry["operator"]
    return Edge(entry["state"], _BY_NAME[name] if isinstance(name, str) and name in _BY_NAME else name)
