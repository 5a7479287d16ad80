"""The arithmetic of a step of the proxy task, and the bytes that it has to move, by formula and by part.

FLOP: a multiply-add is 2, any other operation on a number is 1 (an exponential and a division too). Matrix products and
convolutions count forward, for the gradient of the weights and for that of the input, which is not needed if the input
is the backbone's features. Interpolation counts its two taps per axis, not the matrices that may compute it; random
numbers do not count.

Bytes: a kernel reads each of its arrays once and writes each of its results once. A matrix product or a convolution is
a kernel forward and one for each of its gradients; batch norm with its ReLU is two kernels forward (statistics, values)
and two backward (sums, gradient); dropout, pooling, upsampling and the cross entropy (with its own gradient) are one
kernel each way, the update of all weights is one. Exactly this much fusion is assumed; copies, masks and concatenations
cost nothing. Arrays that stay in a cache from one kernel to the next can beat this floor.
"""

import dataclasses
from collections.abc import Iterable
from typing import assert_never

from generated_cache import Size

from deeplab_dpc.arch.cell import BACKBONE, FILTERS, Cell
from deeplab_dpc.arch.cell_formulas import cell_cost
from deeplab_dpc.arch.cost import conv_cost, depthwise_cost
from deeplab_dpc.arch.operations import AtrousConv, Conv1x1, PyramidPooling

FLOAT32 = 4  # bytes
FEATURE_BYTES = 2  # of the cache
# Statistics 3, normalising 2, ReLU 1; backward its mask 1, the normalised value 2, two sums 3, the gradient 3.
BATCH_NORM_FLOP = 15
BATCH_NORM_PASSES = 8  # read; read, write; read, read; read, read, write
DROPOUT_FLOP = 4  # a product and a choice, each way
# Interpolation along an axis, for each value of its result: two products and a sum; backward two multiply-adds.
INTERPOLATION_FLOP = 3
INTERPOLATION_GRADIENT_FLOP = 4
SOFTMAX_FLOP = 6  # largest, difference, exponential, sum; quotient and weight of the gradient
UPDATE_FLOP = 8  # squared norm 2, decay 2, momentum 2, step 2
UPDATE_PASSES = 5  # weight, gradient and accumulator in, weight and accumulator out
KERNEL = 3  # of atrous convolutions

INPUT, DEPTHWISE, POINTWISE, POOLING, BATCH_NORM = "input", "depthwise", "pointwise", "pooling", "batch norm, ReLU"
DROPOUT, PROJECTION, LOGITS, LOSS = "dropout", "projection", "logits", "loss"
GRADIENT_SUMS, UPDATE = "gradient sums", "update"
PARTS = (
    INPUT,
    DEPTHWISE,
    POINTWISE,
    POOLING,
    BATCH_NORM,
    DROPOUT,
    PROJECTION,
    LOGITS,
    LOSS,
    GRADIENT_SUMS,
    UPDATE,
)


@dataclasses.dataclass(frozen=True)
class Count:
    """The FLOP and bytes of a part."""

    flop: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: "Count") -> "Count":
        return Count(self.flop + other.flop, self.bytes + other.bytes)

    def seconds(self, flops: float, bandwidth: float) -> float:
        """Returns the least time at that number of FLOP and bytes per second."""
        return max(self.flop / flops, self.bytes / bandwidth)


@dataclasses.dataclass(frozen=True)
class Step:
    """The training step that is counted.

    Attributes:
      cell: cell that is trained.
      size: size of features and labels.
      batch: number of images.
      nodes: number of nodes of the separated loss per axis and feature-map cell; 0 for the exact loss.
      activation_bytes: bytes of a value: 4 for float32, 2 for bfloat16.
    """

    cell: Cell
    size: Size
    batch: int = 8
    nodes: int = 4
    activation_bytes: int = FLOAT32

    @property
    def places(self) -> int:
        """Returns the number of feature-map cells of the batch."""
        return self.batch * self.size.height * self.size.width

    @property
    def loss_grid(self) -> tuple[int, int]:
        """Returns the rows and columns of the points where the loss computes its softmax."""
        if self.nodes:
            return self.nodes * (self.size.height - 1), self.nodes * (self.size.width - 1)
        return self.size.label_height, self.size.label_width

    def channels(self, source: int) -> int:
        """Returns the channels of a branch's input."""
        return self.size.channels if source == BACKBONE else FILTERS


def count_step(step: Step) -> dict[str, Count]:
    """Returns the cost of each of PARTS."""
    found = dict.fromkeys(PARTS, Count())

    def add(part: str, *counts: Count) -> None:
        found[part] = sum(counts, start=found[part])

    places, size, active = step.places, step.size, step.activation_bytes
    add(INPUT, Count(0.0, places * size.channels * (FEATURE_BYTES + active)))
    for branch in step.cell.branches:
        channels, by_input = step.channels(branch.input), branch.input != BACKBONE
        if isinstance(branch.operation, PyramidPooling):
            add(POOLING, *_pooling(step, branch.operation.grid, channels, by_input))
            continue
        if isinstance(branch.operation, AtrousConv):
            add(DEPTHWISE, _depthwise(step, channels, by_input))
            add(BATCH_NORM, _batch_norm(places * channels, active))
            by_input = True  # the depthwise weights need the gradient of the pointwise convolution's input
        elif not isinstance(branch.operation, Conv1x1):
            assert_never(branch.operation)
        add(POINTWISE, _product(step, places, channels, FILTERS, by_input))
        add(BATCH_NORM, _batch_norm(places * FILTERS, active))
    width = len(step.cell.branches) * FILTERS
    add(DROPOUT, Count(DROPOUT_FLOP * places * width, 4 * places * width * active))
    add(PROJECTION, _product(step, places, width, FILTERS, True))
    add(BATCH_NORM, _batch_norm(places * FILTERS, active))
    add(LOGITS, _product(dataclasses.replace(step, activation_bytes=FLOAT32), places, FILTERS, size.classes, True))
    add(LOSS, _loss(step))
    # The projection reads every branch; what other branches read as well gets another gradient for each of them.
    sums = sum(branch.input != BACKBONE for branch in step.cell.branches)
    add(GRADIENT_SUMS, Count(sums * places * FILTERS, 3 * sums * places * FILTERS * active))
    weights = parameters(step)
    add(UPDATE, Count(UPDATE_FLOP * weights, UPDATE_PASSES * FLOAT32 * weights))
    return found


def parameters(step: Step) -> int:
    """Returns the number of weights that are trained."""
    height, width = step.size.height, step.size.width
    cell = cell_cost(step.cell, height, width, step.size.channels)
    return cell.trainable_parameters + conv_cost(1, FILTERS, step.size.classes, height, width, False).parameters


def total(counts: Iterable[Count]) -> Count:
    """Returns the sum of the counts."""
    return sum(counts, start=Count())


def _product(step: Step, places: int, channels: int, filters: int, by_input: bool) -> Count:
    """Returns the cost of a 1x1 convolution at that number of places."""
    gradients = 2 if by_input else 1
    cost = conv_cost(1, channels, filters, places, 1)
    arrays = places * (channels + filters) * step.activation_bytes
    weights = cost.parameters * (step.activation_bytes * gradients + FLOAT32)
    return Count(2 * cost.multiply_adds * (1 + gradients), (1 + gradients) * arrays + weights)


def _depthwise(step: Step, channels: int, by_input: bool) -> Count:
    gradients = 2 if by_input else 1
    cost = depthwise_cost(KERNEL, channels, step.places, 1)
    arrays = 2 * step.places * channels * step.activation_bytes
    return Count(2 * cost.multiply_adds * (1 + gradients), (1 + gradients) * arrays)


def _batch_norm(values: int, active: int) -> Count:
    return Count(BATCH_NORM_FLOP * values, BATCH_NORM_PASSES * values * active)


def _pooling(step: Step, grid: tuple[int, int], channels: int, by_input: bool) -> list[Count]:
    """Returns the costs of means, 1x1 convolution and batch norm of the grid, and upsampling."""
    points, places = step.batch * grid[0] * grid[1], step.places
    ways = 2 if by_input else 1
    means = Count(ways * places * channels, ways * (places + points) * channels * step.activation_bytes)
    axes = places + step.batch * step.size.height * grid[1]  # values of the second pass and of the first
    upsampling = Count(
        (INTERPOLATION_FLOP + INTERPOLATION_GRADIENT_FLOP) * axes * FILTERS,
        2 * (places + points) * FILTERS * step.activation_bytes,
    )
    product = _product(step, points, channels, FILTERS, True)
    return [means, product, _batch_norm(points * FILTERS, step.activation_bytes), upsampling]


def _loss(step: Step) -> Count:
    """Returns the cost of interpolating the logits, cross entropy or logsumexp, and both gradients, in float32."""
    size, (rows, columns) = step.size, step.loss_grid
    points, logits = step.batch * rows * columns * size.classes, step.places * size.classes
    first_axis = step.batch * rows * size.width * size.classes
    flop = (INTERPOLATION_FLOP + INTERPOLATION_GRADIENT_FLOP) * (points + first_axis) + SOFTMAX_FLOP * points
    # Logits in, points out; points in, their gradients out; those in, the logits' gradients out.
    moved = FLOAT32 * (2 * logits + 4 * points)
    if step.nodes:
        # The label term: a multiply-add forward, a difference backward; the weights of the nodes.
        return Count(flop + 3 * logits, moved + FLOAT32 * (2 * logits + step.batch * rows * columns))
    return Count(flop, moved + step.batch * rows * columns)
