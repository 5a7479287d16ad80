"""Pooling over a grid (arXiv:1809.04184, Sec. 3.1)."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

from deeplab_dpc.arch.cost import Cost, conv_cost
from deeplab_dpc.arch.integers import check_pair, pair
from deeplab_dpc.arch.operations.base import Axes, Operation, required
from deeplab_dpc.arch.operations.conv1x1 import Conv1x1

GRIDS = (1, 2, 4, 8)  # arXiv:1809.04184, Sec. 3.1


@dataclasses.dataclass(frozen=True)
class PyramidPooling(Operation):
    """Means over a grid, 1x1 convolution, bilinear upsampling; grid: (grid_h, grid_w) in grid cells, each >= 1."""

    OP: ClassVar[str] = "pyramid_pooling"
    KERNEL: ClassVar[int] = 1
    KEYS: ClassVar[tuple[str, ...]] = ("kernel", "grid_size")
    TITLE: ClassVar[str] = "pyramid pooling"
    ASPECTS: ClassVar[dict[str, Callable[[Any], bool]]] = {
        "of the whole image": lambda operation: operation.grid == (1, 1)
    }
    COLOR: ClassVar[str] = "#c3e5bd"
    RUNTIME: ClassVar[str] = "deeplab_dpc.layers.operations.pyramid_pooling_runtime"

    grid: tuple[int, int]

    def __post_init__(self) -> None:
        check_pair("grid_size", self.grid)

    @classmethod
    def choices(cls, rates: Sequence[int], grids: Sequence[int]) -> list[Self]:
        return [cls(grid) for grid in itertools.product(grids, grids)]

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Self:
        return cls(pair(required(entry, "grid_size")))

    def to_json(self) -> dict[str, Any]:
        return {"grid_size": list(self.grid), "op": "pyramid_pooling"}

    def __str__(self) -> str:
        return f"pyramid pooling, grid {self.grid[0]}x{self.grid[1]}"

    def summary(self) -> str:
        return f"pool@{self.grid[0]}x{self.grid[1]}"

    @property
    def sort_key(self) -> tuple[int, ...]:
        return (2, *self.grid)

    def convolved_size(self, height: int, width: int) -> tuple[int, int]:
        return self.grid

    def cost(self, height: int, width: int, channels: int, filters: int) -> Cost:
        return conv_cost(1, channels, filters, *self.grid)  # at the grid's points only

    def receptive_field_growth(self, height: int, width: int, output_stride: int) -> tuple[int, int]:
        grid_h, grid_w = self.grid
        return pooled_extent(height, grid_h) - 1, pooled_extent(width, grid_w) - 1

    def constant_axes(self, constant: Axes) -> Axes:
        return constant[0] or self.grid[0] == 1, constant[1] or self.grid[1] == 1

    def simplified(self, constant: Axes) -> Operation:
        if all(constant):
            return Conv1x1()
        down, across = (1 if along else side for side, along in zip(self.grid, constant, strict=True))
        return PyramidPooling((down, across))

    @property
    def tap_rates(self) -> None:
        return None

    @property
    def grid_side(self) -> int:
        return max(self.grid)


def pooled_extent(side: int, grid: int) -> int:
    """Returns the largest number of cells along a side of the map on which one output of pooling over `grid` cells
    depends.

    Bilinear interpolation reads the means of one grid cell or of two adjacent ones, and cell i of n covers floor(i side
    / n) to ceil((i + 1) side / n) of the side, as in layers/pooling.py. The widest of all positions counts; for one
    cell it is the whole side.
    """
    extents = []
    for position in range(side):
        # The output's place among the grid's points, whose outer ones are at the corners.
        first, beyond = divmod(position * (grid - 1), side - 1) if side > 1 else (0, 0)
        last = first + (beyond > 0)
        extents.append(-(-(last + 1) * side // grid) - first * side // grid)
    return max(extents)
