"""Parameters and multiply-adds of dense prediction cells, by formula.

Table 1 of arXiv:1809.04184 also counts the batch norm of each branch, as one multiply-add per element of the output:
`branch_norm_multiply_adds`.
"""

from deeplab_dpc.arch.cell import BACKBONE, FILTERS, Cell
from deeplab_dpc.arch.cost import Cost, conv_cost, total_cost


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
