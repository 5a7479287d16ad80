"""The architecture of a cell as data: small arrays of one shape for every cell.

A network that reads them instead of being built from the cell is traced and compiled once, and takes any cell.
"""

import dataclasses
from typing import Any

import numpy as np
from keras import ops

from deeplab_dpc.arch.cell import BACKBONE, AtrousConv, Cell, Conv1x1, Operation, PyramidPooling
from deeplab_dpc.layers.kernels import interpolation_matrix
from deeplab_dpc.layers.pooling import cell_means

ABSENT, POINTWISE, ATROUS, POOLING = range(4)  # what a branch does


@dataclasses.dataclass(frozen=True)
class Capacity:
    """What cells fit.

    Attributes:
      branches: at most so many.
      grid: largest side of a grid of pyramid pooling, >= 1.
    """

    branches: int
    grid: int

    def including(self, *cells: Cell) -> "Capacity":
        """That takes these cells too."""
        grids = [
            side
            for cell in cells
            for branch in cell.branches
            if isinstance(branch.operation, PyramidPooling)
            for side in branch.operation.grid
        ]
        return Capacity(max([self.branches, *(len(cell.branches) for cell in cells)]), max([self.grid, *grids]))


def kind_of(operation: Operation) -> int:
    """POINTWISE, ATROUS or POOLING."""
    if isinstance(operation, Conv1x1):
        return POINTWISE
    return ATROUS if isinstance(operation, AtrousConv) else POOLING


def wire(cell: Cell, capacity: Capacity, size: tuple[int, int], output_stride: int) -> dict[str, np.ndarray]:
    """The arrays of a cell, a row a branch; rows that are left over are ABSENT.

    Args:
      cell: that fits the capacity.
      capacity: of the network.
      size: (h, w) of the features.
      output_stride: of the features; rates are multiplied by 16 / output_stride, and are at least 1.

    Returns:
      kind: int32 [branches].
      source: int32 [branches], 0 for the backbone, i + 1 for branch i.
      rate: int32 [branches, 2], in feature-map cells.
      grid_points: float32 [branches, grid, grid], 1 where a point of the pooling grid is used.
      pool_rows, pool_columns: float32 [branches, grid, h] and [branches, grid, w]: means over grid cells.
      upsample_rows, upsample_columns: float32 [branches, h, grid] and [branches, w, grid]: back, corners on corners.

    Raises:
      ValueError: if the cell does not fit.
    """
    if capacity.including(cell) != capacity:
        raise ValueError(f"`cell` does not fit {capacity}: {cell.summary()}.")
    branches, grid, (height, width) = capacity.branches, capacity.grid, size
    wiring = {
        "kind": np.full(branches, ABSENT, "int32"),
        "source": np.zeros(branches, "int32"),
        "rate": np.ones((branches, 2), "int32"),
        "grid_points": np.zeros((branches, grid, grid), "float32"),
        "pool_rows": np.zeros((branches, grid, height), "float32"),
        "pool_columns": np.zeros((branches, grid, width), "float32"),
        "upsample_rows": np.zeros((branches, height, grid), "float32"),
        "upsample_columns": np.zeros((branches, width, grid), "float32"),
    }
    # An absent pooling is of one point, so that no mean is over nothing.
    wiring["grid_points"][:, 0, 0] = 1.0
    for i, branch in enumerate(cell.branches):
        operation = branch.operation
        wiring["kind"][i] = kind_of(operation)
        wiring["source"][i] = 0 if branch.input == BACKBONE else branch.input + 1
        if isinstance(operation, AtrousConv):
            wiring["rate"][i] = operation.rate_at(output_stride)
        if isinstance(operation, PyramidPooling):
            down, across = operation.grid
            wiring["grid_points"][i, :down, :across] = 1.0
            wiring["pool_rows"][i, :down] = ops.convert_to_numpy(cell_means(height, down))
            wiring["pool_columns"][i, :across] = ops.convert_to_numpy(cell_means(width, across))
            wiring["upsample_rows"][i, :, :down] = interpolation_matrix(down, height)
            wiring["upsample_columns"][i, :, :across] = interpolation_matrix(across, width)
    return wiring


def row(wiring: dict[str, Any], branch: int) -> dict[str, Any]:
    """The entries of one branch."""
    return {name: values[branch] for name, values in wiring.items()}
