"""Padding of images with a pixel."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from deeplab_dpc.layers.types import Tensor


def pad_with_pixel(images: Tensor, padding: Sequence[Sequence[Any]], pixel: tuple[float, float, float]) -> Tensor:
    """Returns images [batch, height, width, 3] padded with (red, green, blue).

    Args:
      images: images to pad.
      padding: numbers of (before, after) along each axis; (0, 0) along the last.
      pixel: value of each channel.
    """
    if len(set(pixel)) == 1:
        return ops.pad(images, padding, constant_values=pixel[0])
    return ops.stack(
        [ops.pad(images[..., i], padding[:-1], constant_values=value) for i, value in enumerate(pixel)], axis=-1
    )
