"""The runtime of 3x3 atrous separable convolutions."""

from typing import Any

import keras
import numpy as np
from keras import ops

from deeplab_dpc.arch.operations.atrous_conv import AtrousConv
from deeplab_dpc.layers import depthwise, kernels
from deeplab_dpc.layers.operations.functional import batch_norm, pointwise
from deeplab_dpc.layers.operations.runtime import Arrays, OperationRuntime, Tensors
from deeplab_dpc.layers.operations.seeded_draws import SeededDraws
from deeplab_dpc.layers.separable_conv import SplitSeparableConvBN

DEPTHWISE_STDDEV = 0.33
POINTWISE_STDDEV = 0.06


class AtrousConvRuntime(OperationRuntime[AtrousConv]):
    """The runtime of AtrousConv; weights and statistics of the depthwise convolution are named depthwise_*."""

    def layer(self, operation: AtrousConv, filters: int, output_stride: int, **arguments: Any) -> keras.layers.Layer:
        return SplitSeparableConvBN(filters, operation.rate_at(output_stride), **arguments)

    def blank_wiring(self, grid: int, size: tuple[int, int]) -> Arrays:
        return {"rate": np.ones(2, "int32")}

    def wiring(self, operation: AtrousConv, grid: int, size: tuple[int, int], output_stride: int) -> Arrays:
        return {"rate": np.array(operation.rate_at(output_stride), "int32")}  # in feature-map cells

    def further_weights(self, width: int) -> Arrays:
        return {
            "depthwise_kernel": np.zeros((3, 3, width, 1), "float32"),
            "depthwise_gamma": np.ones(width, "float32"),
            "depthwise_beta": np.zeros(width, "float32"),
        }

    def further_statistics(self, width: int) -> Arrays:
        return {"depthwise_mean": np.zeros(width, "float32"), "depthwise_variance": np.ones(width, "float32")}

    def drawn_weights(self, draws: SeededDraws, branch: int, channels: int, width: int, filters: int) -> Arrays:
        kernel, depthwise_kernel = np.zeros((width, filters), "float32"), np.zeros((3, 3, width, 1), "float32")
        kernel[:channels] = POINTWISE_STDDEV * draws.normal(f"pointwise {branch}", width, filters)[:channels]
        drawn = draws.normal(f"depthwise {branch}", 3, 3, width, 1)
        depthwise_kernel[:, :, :channels] = DEPTHWISE_STDDEV * drawn[:, :, :channels]
        return {"kernel": kernel, "depthwise_kernel": depthwise_kernel}

    def apply(self, x: Any, weights: Tensors, wiring: Tensors, known: Tensors | None) -> tuple[Any, Tensors]:
        channels, width = x.shape[-1], weights["depthwise_gamma"].shape[0]
        y = kernels.kept(depthwise.any_rate(x, weights["depthwise_kernel"][..., :channels, :], wiring["rate"]))
        y, *inner = batch_norm(y, _cut(weights, channels), _cut(known, channels), "depthwise_")
        z, mean, variance = batch_norm(pointwise(ops.relu(y), weights["kernel"]), weights, known)
        filled = [ops.pad(values, (0, width - values.shape[0])) for values in inner]
        return ops.relu(z), {
            "mean": mean,
            "variance": variance,
            "depthwise_mean": filled[0],
            "depthwise_variance": filled[1],
        }


def _cut(values: Tensors | None, channels: int) -> Any:
    """Returns the values of the depthwise convolution's batch norm, for the first channels."""
    if values is None:
        return None
    names = {f"depthwise_{part}" for part in ("gamma", "beta", "mean", "variance")}
    return {name: value[:channels] for name, value in values.items() if name in names}


RUNTIME = AtrousConvRuntime()
