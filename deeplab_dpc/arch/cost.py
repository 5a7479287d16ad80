"""Parameters and multiply-adds of convolutions and of dense prediction cells, by formula.

Multiply-adds are those of convolutions (an atrous one costs what a dense one does, whatever a profiler says); pooling,
resizing, activations and batch norm, which folds into the convolutions, do not count. With this rule the published
totals of whole networks come out within 0.1 %. Table 1 of arXiv:1809.04184 counts the cell's branches with a batch norm
that costs one multiply-add an element of the output: `branch_norm_multiply_adds`.
"""

import dataclasses
from collections.abc import Iterable

from deeplab_dpc.arch.cell import BACKBONE, FILTERS, AtrousConv, Cell, Operation, PyramidPooling


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a module costs.

    Attributes:
      parameters: weights and biases of the convolutions.
      batch_norm_parameters: gamma and beta, which train too but fold into the convolutions for inference.
      multiply_adds: for one image.
    """

    parameters: int = 0
    batch_norm_parameters: int = 0
    multiply_adds: int = 0

    @property
    def trainable_parameters(self) -> int:
        return self.parameters + self.batch_norm_parameters

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.parameters + other.parameters,
            self.batch_norm_parameters + other.batch_norm_parameters,
            self.multiply_adds + other.multiply_adds,
        )


def total_cost(costs: Iterable[Cost]) -> Cost:
    """The sum of costs; zero for none."""
    return sum(costs, start=Cost())


def conv_cost(
    kernel: int, channels_in: int, channels_out: int, height: int, width: int, batch_norm: bool = True
) -> Cost:
    """Cost of a kernel x kernel convolution with an output of [height, width, channels_out].

    Args:
      batch_norm: whether batch norm follows; otherwise there is a bias.
    """
    weights = kernel**2 * channels_in * channels_out
    multiply_adds = weights * height * width
    if batch_norm:
        return Cost(weights, 2 * channels_out, multiply_adds)
    return Cost(weights + channels_out, 0, multiply_adds)


def depthwise_cost(kernel: int, channels: int, height: int, width: int, batch_norm: bool = True) -> Cost:
    """Cost of a kernel x kernel depthwise convolution with an output of [height, width, channels].

    Args:
      batch_norm: whether batch norm follows; otherwise there is nothing, no bias either.
    """
    weights = kernel**2 * channels
    return Cost(weights, 2 * channels if batch_norm else 0, weights * height * width)


def cell_cost(
    cell: Cell, height: int, width: int, channels: int, filters: int = FILTERS, include_projection: bool = True
) -> Cost:
    """Cost of `cell` on features of [height, width, channels].

    Args:
      filters: channels of each branch and of the projection.
      include_projection: whether to count the 1x1 convolution and batch norm after the concatenation.
    """
    total = total_cost(
        _operation_cost(branch.operation, height, width, channels if branch.input == BACKBONE else filters, filters)
        for branch in cell.branches
    )
    if include_projection:
        total += conv_cost(1, len(cell.branches) * filters, filters, height, width)
    return total


def branch_norm_multiply_adds(cell: Cell, height: int, width: int, filters: int = FILTERS) -> int:
    """What Table 1 of arXiv:1809.04184 counts beside the convolutions: one per element of each branch's output."""
    sizes = (
        branch.operation.grid if isinstance(branch.operation, PyramidPooling) else (height, width)
        for branch in cell.branches
    )
    return sum(rows * columns * filters for rows, columns in sizes)


def _operation_cost(operation: Operation, height: int, width: int, cin: int, filters: int) -> Cost:
    if isinstance(operation, AtrousConv):
        return depthwise_cost(3, cin, height, width) + conv_cost(1, cin, filters, height, width)
    if isinstance(operation, PyramidPooling):  # its convolution runs at the grid's points only
        height, width = operation.grid
    return conv_cost(1, cin, filters, height, width)
