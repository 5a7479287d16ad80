"""Parameters and multiply-adds of a dense prediction cell, as arXiv:1809.04184, Table 1 counts them, by formula.

The paper's figures of the published cell come out (0.36M and 3.00B for MobileNetV2, 0.81M and 6.84B for Xception) with
this rule: parameters are the weights of convolutions alone; multiply-adds are those of convolutions plus, for the batch
norm of each branch output, one per element. Pooling, resizing, activations and the depthwise norm do not count.
"""

import dataclasses

from deeplab_dpc.arch.cell import BACKBONE, FILTERS, AtrousConv, Cell, Operation, PyramidPooling


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a module costs.

    Attributes:
      parameters: weights of the convolutions.
      batch_norm_parameters: gamma and beta, which train too but fold into the convolutions for inference.
      multiply_adds: for one image.
    """

    parameters: int
    batch_norm_parameters: int
    multiply_adds: int

    @property
    def trainable_parameters(self) -> int:
        return self.parameters + self.batch_norm_parameters

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.parameters + other.parameters,
            self.batch_norm_parameters + other.batch_norm_parameters,
            self.multiply_adds + other.multiply_adds,
        )


def depthwise_cost(kernel: int, channels: int, height: int, width: int) -> Cost:
    """Cost of a kernel x kernel depthwise convolution with batch norm and an output of [height, width, channels]."""
    weights = kernel**2 * channels
    return Cost(weights, 2 * channels, weights * height * width)


def pointwise_cost(channels_in: int, channels_out: int, height: int, width: int) -> Cost:
    """Cost of a 1x1 convolution with batch norm and an output of [height, width, channels_out]."""
    weights = channels_in * channels_out
    return Cost(weights, 2 * channels_out, (weights + channels_out) * height * width)


def cell_cost(
    cell: Cell, height: int, width: int, channels: int, filters: int = FILTERS, include_projection: bool = True
) -> Cost:
    """Cost of `cell` on features of [height, width, channels].

    Args:
      filters: channels of each branch and of the projection.
      include_projection: whether to count the 1x1 convolution and batch norm after the concatenation.
    """
    total = Cost(0, 0, 0)
    for branch in cell.branches:
        cin = channels if branch.input == BACKBONE else filters
        total += _operation_cost(branch.operation, height, width, cin, filters)
    if include_projection:
        total += pointwise_cost(len(cell.branches) * filters, filters, height, width)
    return total


def _operation_cost(operation: Operation, height: int, width: int, cin: int, filters: int) -> Cost:
    if isinstance(operation, AtrousConv):
        return depthwise_cost(3, cin, height, width) + pointwise_cost(cin, filters, height, width)
    if isinstance(operation, PyramidPooling):  # its convolution runs at the grid's points only
        height, width = operation.grid
    return pointwise_cost(cin, filters, height, width)
