"""Bilinear interpolation with aligned corners, in operations that are the same on all backends.

The forms of resizing that depend on the backend are in kernels.py.
"""

import functools

import numpy as np
from keras import ops

from deeplab_dpc.layers.types import Tensor


def interpolation_matrix(size_in: int, size_out: int) -> np.ndarray:
    """Returns the weights [size_out, size_in] of bilinear interpolation with aligned corners along one axis."""
    matrix = np.zeros((size_out, size_in), "float32")
    position = np.arange(size_out) * ((size_in - 1) / max(size_out - 1, 1))
    low = np.minimum(position.astype("int64"), max(size_in - 2, 0))
    rows = np.arange(size_out)
    matrix[rows, low] = 1.0 - (position - low)
    matrix[rows, np.minimum(low + 1, size_in - 1)] += (position - low).astype("float32")
    return matrix


def interpolated_argmax(image: Tensor, factor: int) -> Tensor:
    """Returns `kernels.upsampled_argmax` of an image, in operations that XLA fuses; it is slow without XLA.

    The classes are compared one by one in a loop, so that no logits are stored at the size of the result. The order of
    additions is that of TensorFlow's resize, along rows first.

    Args:
      image: logits [h, w, channels], of static shape.
      factor: pixels per cell along each axis, >= 1.

    Returns:
      int32 [h * factor, w * factor]; values beyond the last row and column repeat them.
    """
    best, top = None, None
    for channel, value in enumerate(_interpolated_channels(image, factor)):
        if best is None:
            best, top = value, ops.zeros(value.shape, "int32")
        else:
            best, top = ops.maximum(best, value), ops.where(value > best, channel, top)
    h, w = image.shape[:2]
    return ops.reshape(top, (h * factor, w * factor))


def interpolated_cross_entropy(image: Tensor, labels: Tensor, factor: int) -> Tensor:
    """Returns -log softmax of an image's interpolated logits at the labels, in operations that XLA fuses.

    The logits are those that `interpolated_argmax` compares; none are stored at the size of the result.

    Args:
      image: logits [h, w, channels], of static shape.
      labels: int32 [h * factor, w * factor]; if a label is not a channel, the result is undefined.
      factor: pixels per cell along each axis, >= 1.

    Returns:
      float32 [h * factor, w * factor], in nats.
    """
    h, w = image.shape[:2]
    values = _interpolated_channels(image, factor)
    labels = ops.reshape(labels, (h, factor, w * factor))
    largest = functools.reduce(ops.maximum, values)
    total = sum(ops.exp(value - largest) for value in values)
    chosen = sum(ops.where(labels == channel, value, 0.0) for channel, value in enumerate(values))
    return ops.reshape(largest + ops.log(total) - chosen, (h * factor, w * factor))


def _interpolated_channels(image: Tensor, factor: int) -> list[Tensor]:
    """Returns each channel at the size of the result, float32 [h, factor, w * factor]."""
    h, w, channels = image.shape
    shares = np.arange(factor, dtype="float32") / np.float32(factor)
    # The last row and column are repeated, so that each point begins a cell.
    points = ops.transpose(ops.cast(image, "float32"), (2, 0, 1))
    points = ops.concatenate([points, points[:, -1:]], axis=1)
    points = ops.concatenate([points, points[:, :, -1:]], axis=2)
    left, right = points[:, :, :-1, None], points[:, :, 1:, None]
    columns = ops.reshape(left + (right - left) * shares, (channels, h + 1, 1, w * factor))
    upper, lower = columns[:, :-1], columns[:, 1:]
    return [upper[channel] + (lower[channel] - upper[channel]) * shares[:, None] for channel in range(channels)]
