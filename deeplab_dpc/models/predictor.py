"""Prediction for images of any size, shared by evaluation, prediction and export.

With several scales and flips, the softmax of each is resized to the image and averaged (arXiv:1706.05587, Sec. 4).
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from deeplab_dpc.arch.fitting import aligned_side
from deeplab_dpc.config import InferenceConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.padding import pad_with_pixel
from deeplab_dpc.layers.types import Tensor
from deeplab_dpc.models.memory import available_memory, inference_memory
from deeplab_dpc.models.segmenter import Segmenter


class _PixelModel(keras.Model):
    """The base class of the two models of a predictor: from images [batch, height, width, 3] to logits of their size.

    Images are padded with the mean pixel at the bottom and right to the next sides of alignment * k + 1 (so that
    features and pixels align; see ModelConfig), or to `eval_crop_size` as in the published evaluation. Logits are
    upsampled with aligned corners and the padding is removed.
    """

    def __init__(self, segmenter: Segmenter, config: InferenceConfig, **kwargs: Any):
        super().__init__(**kwargs)
        self.jit_compile = kernels.JIT_COMPILE
        self.segmenter = segmenter
        self.config = config
        self.built = True

    def average(self, images: Tensor) -> Tensor:
        """Returns the mean softmax float32 [batch, height, width, num_classes] of all scales and flips."""
        padded = self.pad(images)
        total: Any = None
        for scale in self.config.eval_scales:
            for flipped in (False, True) if self.config.add_flipped_images else (False,):
                # A scale begins once the one before has been added, so that memory does not grow with their number.
                source = padded if total is None else kernels.after(padded, total)
                probabilities = ops.softmax(self.logits(images, source, scale, flipped), axis=-1)
                total = probabilities if total is None else total + probabilities
        return total / (len(self.config.eval_scales) * (2 if self.config.add_flipped_images else 1))

    def logits(self, images: Tensor, padded: Tensor | None = None, scale: float = 1.0, flipped: bool = False) -> Tensor:
        """Returns logits [batch, height, width, num_classes] at the size of the images, whose padded form may be
        given.
        """
        padded = self.pad(images) if padded is None else padded
        sides = ops.shape(padded)[1:3]
        if scale != 1.0:
            padded = kernels.resize_align_corners(padded, *(_scaled(side, scale) for side in sides))
        logits = self.segmenter(ops.flip(padded, axis=2) if flipped else padded, training=False)
        if scale != 1.0:
            # The published evaluation first resizes them to the unscaled image's feature size, if that is larger.
            stride = self._logits_stride()
            logits = kernels.resize_align_corners(logits, *(_scaled(side, max(1.0, scale) / stride) for side in sides))
        logits = kernels.resize_align_corners(ops.flip(logits, axis=2) if flipped else logits, *sides)
        height, width = ops.shape(images)[1:3]
        return logits[:, :height, :width]

    def pad(self, images: Tensor) -> Tensor:
        """Returns the images as float32, padded to the network's input size (see the class)."""
        height, width = ops.shape(images)[1:3]
        padding = [[0, 0], [0, self._padded(height, 0) - height], [0, self._padded(width, 1) - width], [0, 0]]
        return pad_with_pixel(ops.cast(images, "float32"), padding, self.segmenter.config.mean_pixel)

    def _logits_stride(self) -> int:
        config = self.segmenter.config
        return min(config.decoder_output_stride or (config.output_stride,))

    def _is_aligned(self) -> bool:
        """Returns whether padded sides are alignment * k + 1, so that the distance between two logits is a whole number
        of pixels.
        """
        return all((side - 1) % self.segmenter.config.alignment == 0 for side in self.config.eval_crop_size)

    def _padded(self, side: Any, axis: int) -> Any:
        """Returns the padded side along axis 0 (height) or 1 (width)."""
        if self.config.eval_crop_size:
            return self.config.eval_crop_size[axis]
        return aligned_side(side, self.segmenter.config.alignment)


class ClassIds(_PixelModel):
    """The model that maps images [batch, height, width, 3], values 0..255, to class ids [batch, height, width]."""

    def call(self, images: Tensor) -> Tensor:
        if self.config.averages:
            return kernels.argmax(self.average(images))
        if self._is_aligned():
            padded = self.pad(images)
            height, width = ops.shape(images)[1:3]
            logits = self.segmenter(padded, training=False)
            return kernels.upsampled_argmax(logits, self._logits_stride(), height, width)
        return kernels.argmax(self.logits(images))


class Probabilities(_PixelModel):
    """The model that maps the same images to probabilities float32 [batch, height, width, num_classes]."""

    def call(self, images: Tensor) -> Tensor:
        return self.average(images)


class Predictor:
    """A predictor of class ids and probabilities of images of any size; an ImagePredictor.

    Attributes:
      class_ids, probabilities: the two models, which share the network; each is compiled at its first use.

    Args:
      segmenter: the network.
      config: scales, flips and crop; its windows are used by SlidingWindow only.
    """

    def __init__(self, segmenter: Segmenter, config: InferenceConfig | None = None):
        self.segmenter = segmenter
        self.config = config or InferenceConfig()
        self.num_classes = segmenter.config.num_classes
        self.class_ids = ClassIds(segmenter, self.config)
        self.probabilities = Probabilities(segmenter, self.config)
        self._memory: dict[tuple[int, int, bool], int] = {}  # bytes for an image of (height, width)

    @property
    def averages(self) -> bool:
        """Returns whether the prediction is a mean of probabilities."""
        return self.config.averages

    def scores(self, images: Tensor) -> Tensor:
        """Returns scores [batch, height, width, num_classes], the largest of which is that of the predicted class:
        logits, or mean probabilities.
        """
        return self.class_ids.average(images) if self.averages else self.class_ids.logits(images)

    def changed(self, change: Callable[[Segmenter], Any]) -> "Predictor":
        """Returns this predictor with `change(network)` as its network."""
        return Predictor(change(self.segmenter), self.config)

    def predict_batch(self, images: np.ndarray) -> np.ndarray:
        """Predicts class ids int32 [batch, height, width] of images [batch, height, width, 3] with values 0..255."""
        self._require_memory(images, with_probabilities=self.config.averages)
        with _exhausted_memory_named(images):
            return np.asarray(self.class_ids.predict_on_batch(images), np.int32)

    def predict_probabilities(self, images: np.ndarray) -> np.ndarray:
        """Predicts probabilities float32 [batch, height, width, num_classes] of the same images."""
        self._require_memory(images, with_probabilities=True)
        with _exhausted_memory_named(images):
            return np.asarray(self.probabilities.predict_on_batch(images))

    def check_size(self, image: np.ndarray, name: str) -> None:
        """Raises a UserError if the image is larger than the crop to which it is padded, or than the memory allows."""
        height, width = image.shape[:2]
        crop = self.config.eval_crop_size
        if crop and (height > crop[0] or width > crop[1]):
            raise UserError(
                f"{name} is {height} x {width} pixels, larger than --eval_crop_size={crop[0]},{crop[1]}; "
                "leave the flag out, or give a size that fits every image."
            )
        self._require_memory(image[np.newaxis], self.config.averages, name)

    def _require_memory(self, images: np.ndarray, with_probabilities: bool, name: str = "") -> None:
        """Raises a UserError if the images cannot be predicted at once in the available memory."""
        batch, height, width = images.shape[:3]
        key = (height, width, with_probabilities)
        if key not in self._memory:
            scale = max(1.0, *self.config.eval_scales)
            sides = (_scaled(self.class_ids._padded(side, axis), scale) for axis, side in enumerate((height, width)))
            pixels = height * width if with_probabilities else 0
            self._memory[key] = inference_memory(self.segmenter, (next(sides), next(sides)), pixels)
        needed, available = batch * self._memory[key], available_memory()
        if available is not None and needed > available:
            which, gigabytes = name or f"{batch} image(s)", f"{needed / 1e9:.1f} GB"
            raise UserError(
                f"The memory is not enough for {which} of {height} x {width} pixels at a time: about {gigabytes} are "
                f"needed, {available / 1e9:.1f} GB are free; --sliding_window=513,513 needs less, whatever the "
                "size of the images."
            )


@contextlib.contextmanager
def _exhausted_memory_named(images: np.ndarray) -> Iterator[None]:
    """Turns the backends' errors for exhausted memory into a UserError that names options that need less."""
    try:
        yield
    except kernels.MEMORY_ERRORS as error:
        if not kernels.is_out_of_memory(error):
            raise
        batch, height, width, _ = images.shape
        raise UserError(
            f"The memory is not enough for {batch} image(s) of {height} x {width} pixels at a time; "
            "--sliding_window=513,513 needs less, whatever the size of the images."
        ) from error


def _scaled(side: Any, scale: float) -> Any:
    """Returns the side of a scaled image whose corners lie on those of the original (scale_dimension in the published
    code).
    """
    if isinstance(side, int):
        return int((side - 1) * scale + 1)
    return ops.cast((ops.cast(side, "float32") - 1.0) * scale + 1.0, "int32")
