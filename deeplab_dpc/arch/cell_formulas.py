"""Parameters, multiply-adds and the receptive field of dense prediction cells, by formula.

Table 1 of arXiv:1809.04184 also counts the batch norm of each branch, as one multiply-add per element of the output:
`branch_norm_multiply_adds`.

Along each axis the receptive field of the features is 1, and an operation adds its growth to that of its input. The
cell's receptive field is that of its longest path, separately along each axis. It is not limited to the side of the
map: the part beyond the map is padding there but features on a larger image, and larger rates remain distinguishable.
"""

import functools

from deeplab_dpc.arch.cell import BACKBONE, FILTERS, Cell
from deeplab_dpc.arch.cost import Cost, conv_cost, total_cost
from deeplab_dpc.arch.operations import Operation


def cell_cost(
    cell: Cell, height: int, width: int, channels: int, filters: int = FILTERS, include_projection: bool = True
) -> Cost:
    """Returns the cost of `cell` on features of shape [height, width, channels].

    Args:
      filters: number of channels of each branch and of the projection.
      include_projection: bool, whether to count the 1x1 convolution and batch norm after the concatenation.
    """
    total = total_cost(
        branch.operation.cost(height, width, channels if branch.input == BACKBONE else filters, filters)
        for branch in cell.branches
    )
    if include_projection:
        total += conv_cost(1, len(cell.branches) * filters, filters, height, width)
    return total


def branch_norm_multiply_adds(cell: Cell, height: int, width: int, filters: int = FILTERS) -> int:
    """Returns the multiply-adds that Table 1 of arXiv:1809.04184 counts beside the convolutions: one per element of
    each branch's output.
    """
    sizes = (branch.operation.convolved_size(height, width) for branch in cell.branches)
    return sum(rows * columns * filters for rows, columns in sizes)


def receptive_field(cell: Cell, height: int, width: int, output_stride: int) -> tuple[int, int]:
    """Returns the (height, width), in feature-map cells, of the features on which one position of the cell's output
    depends.

    Args:
      height, width: height and width of the feature map, in cells, >= 1.
      output_stride: output stride of the features, to which rates are scaled.
    """
    fields: list[tuple[int, int]] = []
    for branch in cell.branches:
        field_h, field_w = (1, 1) if branch.input == BACKBONE else fields[branch.input]
        added_h, added_w = _growth(branch.operation, height, width, output_stride)
        fields.append((field_h + added_h, field_w + added_w))
    return max(field_h for field_h, _ in fields), max(field_w for _, field_w in fields)


@functools.lru_cache(maxsize=4096)  # there are few operations and map sizes
def _growth(operation: Operation, height: int, width: int, output_stride: int) -> tuple[int, int]:
    return operation.receptive_field_growth(height, width, output_stride)
