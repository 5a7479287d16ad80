"""Bilinear resize with align_corners=True, the interpolation of every DeepLab model (arXiv:1802.02611, Sec. 3.1)."""

from typing import Any

import keras

from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class ResizeAlignCorners(keras.layers.Layer):
    """A resize of [batch, h, w, channels] to [batch, height, width, channels]; corner pixels keep their values.

    Args:
      size: (height, width) in pixels, each >= 1.

    Raises:
      ValueError: if a side is less than 1.
    """

    def __init__(self, size: tuple[int, int], **kwargs: Any):
        super().__init__(**kwargs)
        if len(size) != 2 or min(size) < 1:
            raise ValueError(f"`size` must be (height, width) with sides >= 1, got {size}.")
        self.size = (int(size[0]), int(size[1]))

    def call(self, inputs: Tensor) -> Tensor:
        return kernels.resize_align_corners(inputs, *self.size)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], *self.size, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}
