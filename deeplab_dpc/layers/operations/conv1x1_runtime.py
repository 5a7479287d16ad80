"""The runtime of 1x1 convolutions."""

from typing import Any

import keras
from keras import ops

from deeplab_dpc.arch.operations.conv1x1 import Conv1x1
from deeplab_dpc.layers.conv import ConvBN
from deeplab_dpc.layers.operations.functional import batch_norm, pointwise
from deeplab_dpc.layers.operations.runtime import Arrays, PointwiseRuntime, Tensors


class Conv1x1Runtime(PointwiseRuntime[Conv1x1]):
    """The runtime of Conv1x1; see OperationRuntime."""

    def layer(self, operation: Conv1x1, filters: int, output_stride: int, **arguments: Any) -> keras.layers.Layer:
        return ConvBN(filters, **arguments)

    def blank_wiring(self, grid: int, size: tuple[int, int]) -> Arrays:
        return {}

    def wiring(self, operation: Conv1x1, grid: int, size: tuple[int, int], output_stride: int) -> Arrays:
        return {}

    def apply(self, x: Any, weights: Tensors, wiring: Tensors, known: Tensors | None) -> tuple[Any, Tensors]:
        y, mean, variance = batch_norm(pointwise(x, weights["kernel"]), weights, known)
        return ops.relu(y), {"mean": mean, "variance": variance}


RUNTIME = Conv1x1Runtime()
