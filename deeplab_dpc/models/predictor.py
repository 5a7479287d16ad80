"""Prediction for images of any size: the one path that evaluation, prediction and export share."""

from typing import Any

import keras
import numpy as np
from keras import ops

from deeplab_dpc.errors import UserError
from deeplab_dpc.layers import kernels
from deeplab_dpc.models.segmenter import Segmenter

PAD_VALUE = 127.5  # zero after normalisation


class Predictor(keras.Model):
    """Images [batch, height, width, 3], values 0..255 -> class ids and probabilities at the same size.

    Images are padded with 127.5 at the bottom and right to the next sides of output_stride * k + 1 (so that features
    and pixels align), or to `crop_size` as the published evaluation does. Logits are upsampled with aligned corners,
    the padding is cut off, and softmax follows.

    Args:
      segmenter: the network.
      crop_size: (height, width) in pixels to pad to, or None for the smallest that fits.
    """

    def __init__(self, segmenter: Segmenter, crop_size: tuple[int, int] | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.jit_compile = kernels.JIT_COMPILE
        self.segmenter = segmenter
        self.crop_size = crop_size
        self.built = True

    def call(self, images):
        height, width = ops.shape(images)[1:3]
        padded_height, padded_width = self._padded(height, 0), self._padded(width, 1)
        images = ops.cast(images, "float32") - PAD_VALUE
        padding = [[0, 0], [0, padded_height - height], [0, padded_width - width], [0, 0]]
        images = ops.pad(images, padding) + PAD_VALUE
        logits = self.segmenter(images, training=False)
        logits = kernels.resize_align_corners(logits, padded_height, padded_width)[:, :height, :width]
        probabilities = ops.softmax(logits, axis=-1)
        return {"semantic": ops.argmax(logits, axis=-1), "probabilities": probabilities}

    def _padded(self, side, axis):
        if self.crop_size is not None:
            return self.crop_size[axis]
        stride = self.segmenter.config.output_stride
        return (side + stride - 2) // stride * stride + 1

    def predict_image(self, image: np.ndarray) -> np.ndarray:
        """Class ids [height, width] of one image [height, width, 3] with values 0..255."""
        return np.asarray(self.predict_on_batch(image[None].astype("float32"))["semantic"][0])

    def check_size(self, image: np.ndarray, name: str) -> None:
        """Raises a UserError if the image is larger than the crop it is padded to."""
        height, width = image.shape[:2]
        if self.crop_size is not None and (height > self.crop_size[0] or width > self.crop_size[1]):
            raise UserError(
                f"{name} is {height} x {width} pixels, larger than --eval_crop_size="
                f"{self.crop_size[0]},{self.crop_size[1]}; leave the flag out, or give a size that fits every image."
            )
