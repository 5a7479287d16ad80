"""Convolution, batch norm and interpolation as functions of their weights, for the proxy's network."""

from typing import Any

from keras import ops

from deeplab_dpc.layers import kernels

EPSILON = 1e-5  # of batch norm
Tensors = dict[str, Any]


def pointwise(x: Any, kernel: Any) -> Any:
    """Computes a 1x1 convolution of [batch, h, w, channels] with the first `channels` rows of a kernel [rows,
    filters].
    """
    *sizes, channels = x.shape
    y = kernels.kept(ops.matmul(ops.reshape(x, (-1, channels)), ops.cast(kernel[:channels], x.dtype)))
    return ops.reshape(y, (*sizes, kernel.shape[-1]))


def batch_norm(x: Any, weights: Tensors, known: Tensors | None, prefix: str = "") -> tuple[Any, Any, Any]:
    """Normalises over all axes but the last; also returns mean and variance.

    Args:
      x: features [batch, h, w, channels].
      weights: gamma and beta, float32 [channels], by name after the prefix.
      known: mean and variance to normalise with, by name after the prefix; None for those of the batch.
      prefix: prefix of the names.
    """
    gamma, beta = weights[f"{prefix}gamma"], weights[f"{prefix}beta"]
    if known is None:
        return kernels.batch_norm_training(x, gamma, beta, EPSILON)
    mean, variance = known[f"{prefix}mean"], known[f"{prefix}variance"]
    return kernels.batch_norm_inference(x, gamma, beta, mean, variance, EPSILON), mean, variance


def masked_batch_norm(x: Any, points: Any, weights: Tensors, known: Tensors | None) -> tuple[Any, Any, Any]:
    """Normalises over some points only: x float32 [batch, grid, grid, channels], points [grid, grid] of 0 and 1."""
    if known is not None:
        scale = ops.rsqrt(known["variance"] + EPSILON) * weights["gamma"]
        return (x - known["mean"]) * scale + weights["beta"], known["mean"], known["variance"]
    mask, count = points[None, :, :, None], ops.sum(points) * x.shape[0]
    mean = ops.sum(x * mask, axis=(0, 1, 2)) / count
    centred = x - mean
    variance = ops.sum(ops.square(centred) * mask, axis=(0, 1, 2)) / count
    y = centred * (ops.rsqrt(variance + EPSILON) * weights["gamma"]) + weights["beta"]
    return y, mean, variance * (count / ops.maximum(count - 1.0, 1.0))


def resized(x: Any, rows: Any, columns: Any) -> Any:
    """Resizes [batch, h, w, channels] -> [batch, H, W, channels] with matrices [H, h] and [W, w], in float32."""
    return ops.einsum("Hh,bhwc,Ww->bHWc", rows, ops.cast(x, "float32"), columns)
