"""Convolution and batch norm of the supernet as functions of named weights.

Batch norm has the statistics of the batch, which are collected, or known statistics.
"""

from typing import Any

import numpy as np
from keras import ops

from deeplab_dpc.layers import kernels

Shape = tuple[int, ...]
EPSILON = 1e-3  # as in the published retrained network
MEAN, VARIANCE = "mean", "variance"


class Normalizer:
    """Batch norm over all axes but the last.

    Args:
      known: means and variances by "NAME/mean" and "NAME/variance"; None for those of the batch, which are then in
        `found` under these names, with unbiased variances.
    """

    def __init__(self, known: dict[str, Any] | None = None):
        self.known = known
        self.found: dict[str, Any] = {}

    def __call__(self, name: str, x: Any, gamma: Any = None, beta: Any = None) -> Any:
        """Returns gamma * (x - mean) / sqrt(variance + epsilon) + beta for [batch, height, width, channels].

        Args:
          name: name of the statistics.
          x: values to normalise.
          gamma, beta: scale and offset, float32 [channels]; None for 1 and 0.
        """
        channels = x.shape[-1]
        gamma = np.ones(channels, "float32") if gamma is None else gamma
        beta = np.zeros(channels, "float32") if beta is None else beta
        if self.known is not None:
            mean, variance = self.known[f"{name}/{MEAN}"], self.known[f"{name}/{VARIANCE}"]
            return kernels.batch_norm_inference(x, gamma, beta, mean, variance, EPSILON)
        y, mean, variance = kernels.batch_norm_training(x, gamma, beta, EPSILON)
        self.found |= {f"{name}/{MEAN}": mean, f"{name}/{VARIANCE}": variance}
        return y


def statistics_shapes(channels: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the statistics by name, for the batch norms with those names."""
    return {f"{name}/{part}": (count,) for name, count in channels.items() for part in (MEAN, VARIANCE)}


def conv_shapes(name: str, kernel_size: int, channels: int, filters: int) -> dict[str, Shape]:
    """Returns the shapes of the weights of `conv_bn`."""
    return {
        f"{name}/kernel": (kernel_size, kernel_size, channels, filters),
        f"{name}/gamma": (filters,),
        f"{name}/beta": (filters,),
    }


def conv_bn(weights: dict[str, Any], name: str, x: Any, normalize: Normalizer, strides: int = 1, rate: int = 1) -> Any:
    """Computes convolution and batch norm: [batch, height, width, channels] -> [batch, h, w, filters].

    A strided convolution is padded with (kernel_size - 1) / 2 on each side, so that odd sides 2k + 1 become k + 1 with
    aligned corners.

    Args:
      weights: kernel, gamma and beta by name, see `conv_shapes`.
      name: name of the convolution, the prefix of the names of its weights.
      x: float tensor [batch, height, width, channels].
      normalize: function that computes the batch norm.
      strides: stride along both sides.
      rate: atrous rate along both sides, for stride 1.
    """
    y = conv(x, weights[f"{name}/kernel"], strides, rate)
    return normalize(name, y, weights[f"{name}/gamma"], weights[f"{name}/beta"])


def conv(x: Any, kernel: Any, strides: int = 1, rate: int = 1) -> Any:
    """Computes the convolution without batch norm, padded as in `conv_bn`.

    Args:
      x: float tensor [batch, height, width, channels].
      kernel: float tensor [kernel_size, kernel_size, channels, filters]; cast to the type of x.
      strides: stride along both sides.
      rate: atrous rate along both sides, for stride 1.

    Returns:
      A float tensor [batch, h, w, filters] of the type of x.
    """
    kernel = ops.cast(kernel, x.dtype)
    size = kernel.shape[0]
    if size == 1 and strides == 1:
        return pointwise(x, kernel[0, 0])
    if strides == 1:
        return ops.conv(x, kernel, padding="same", dilation_rate=rate)
    side = ((size - 1) // 2, (size - 1) // 2)
    return ops.conv(ops.pad(x, ((0, 0), side, side, (0, 0))), kernel, strides=strides, padding="valid")


def pointwise(x: Any, matrix: Any) -> Any:
    """Computes a 1x1 convolution of [batch, height, width, channels] with [channels, filters]."""
    *sizes, channels = x.shape
    y = ops.matmul(ops.reshape(x, (-1, channels)), ops.cast(matrix, x.dtype))
    return ops.reshape(y, (*sizes, matrix.shape[-1]))


def resized(x: Any, size: tuple[int, int]) -> Any:
    """Resizes [batch, height, width, channels] to (height, width) bilinearly with aligned corners, if they differ."""
    return x if tuple(x.shape[1:3]) == tuple(size) else kernels.resize_align_corners(x, *size)
