"""The receptive field of a dense prediction cell, by formula.

Along each axis the receptive field of the features is 1, and an operation adds to that of what it reads:

* a 1x1 convolution nothing;
* a 3x3 atrous convolution of rate r the 2 r between its outer taps, r being the rate at the features' output stride,
  as in layers/dense_prediction_cell.py;
* pooling over a grid the extent of what one output averages over, less 1. Bilinear interpolation reads the means of one
  grid cell or of two beside each other, and cell i of n covers floor(i side / n) to ceil((i + 1) side / n) of the side,
  as in layers/pooling.py; the widest of all positions counts. For one cell it is the whole side.

The cell's is that of its longest path, along each axis for itself. It is not cut to the side of the map: what goes
beyond reaches into the padding there, but not on a larger image, and a rate is told from a larger one.
"""

import functools

from deeplab_dpc.arch.cell import BACKBONE, AtrousConv, Cell, Operation, PyramidPooling


def receptive_field(cell: Cell, height: int, width: int, output_stride: int) -> tuple[int, int]:
    """(height, width) of the features that one position of the cell's output depends on, in feature-map cells.

    Args:
      height, width: of the feature map, in cells, >= 1.
      output_stride: of the features, which rates follow.
    """
    fields: list[tuple[int, int]] = []
    for branch in cell.branches:
        field_h, field_w = (1, 1) if branch.input == BACKBONE else fields[branch.input]
        added_h, added_w = _growth(branch.operation, height, width, output_stride)
        fields.append((field_h + added_h, field_w + added_w))
    return max(field_h for field_h, _ in fields), max(field_w for _, field_w in fields)


@functools.lru_cache(maxsize=4096)  # of a few operations and map sizes
def _growth(operation: Operation, height: int, width: int, output_stride: int) -> tuple[int, int]:
    """What an operation adds to the receptive field along each axis."""
    if isinstance(operation, AtrousConv):
        rate_h, rate_w = operation.rate_at(output_stride)
        return 2 * rate_h, 2 * rate_w
    if isinstance(operation, PyramidPooling):
        grid_h, grid_w = operation.grid
        return pooled_extent(height, grid_h) - 1, pooled_extent(width, grid_w) - 1
    return 0, 0


def pooled_extent(side: int, grid: int) -> int:
    """The most cells of a side of the map that one output of pooling over `grid` cells of that side depends on."""
    extents = []
    for position in range(side):
        # The output's place among the grid's points, whose outer ones are at the corners.
        first, beyond = divmod(position * (grid - 1), side - 1) if side > 1 else (0, 0)
        last = first + (beyond > 0)
        extents.append(-(-(last + 1) * side // grid) - first * side // grid)
    return max(extents)
