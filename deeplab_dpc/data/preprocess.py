"""DeepLab's augmentation: scale, pad, crop, flip. The required window is found first, and only that window is scaled.

The published order (research/deeplab, preprocess_utils.py) scales the whole image, pads it and crops. Here the same
random numbers determine the part of the source that the crop shows, rounded to whole pixels, and only that part is
scaled. The distribution of scales, positions and flips is the same, each crop is within half a source pixel of the
published one, and the work is a fraction. A seed is always an integer tensor [2] that alone determines the random
numbers.
"""

import dataclasses
from typing import Any, Self

import tensorflow as tf

from deeplab_dpc.config import DataConfig
from deeplab_dpc.config.model import GREY_PIXEL

TRAINING_FLIP_PROBABILITY = 0.5


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The augmentation of training images.

    Attributes:
      crop_size: (height, width) of the result, in pixels.
      min_scale_factor, max_scale_factor: limits of the random scale, > 0.
      scale_factor_step_size: distance between the possible factors; 0 for all values in between.
      min_resize_value: length in pixels to which the smaller side is resized before the random scale; None for no
        resize.
      max_resize_value: largest length of the larger side after that, in pixels; None for any.
      resize_factor: stride in pixels; the resized sides become multiples of it plus 1; None for any.
      photometric_jitter: largest relative change of brightness, contrast and saturation, in [0, 1); 0 for none.
      flip_probability: probability of a horizontal flip.
      mean_pixel: (red, green, blue) of the padding, which the network normalises to 0.

    Raises:
      ValueError: if a number is out of its range.
    """

    crop_size: tuple[int, int]
    min_scale_factor: float = 1.0
    max_scale_factor: float = 1.0
    scale_factor_step_size: float = 0.0
    min_resize_value: int | None = None
    max_resize_value: int | None = None
    resize_factor: int | None = None
    photometric_jitter: float = 0.0
    flip_probability: float = 0.0
    mean_pixel: tuple[float, float, float] = GREY_PIXEL

    def __post_init__(self) -> None:
        low, high = self.min_scale_factor, self.max_scale_factor
        if not 0 < low <= high:
            raise ValueError(f"`min_scale_factor` must be > 0 and <= `max_scale_factor`, got {low} and {high}.")
        if self.scale_factor_step_size < 0:
            raise ValueError(f"`scale_factor_step_size` must be >= 0, got {self.scale_factor_step_size}.")
        if not 0 <= self.photometric_jitter < 1:
            raise ValueError(f"`photometric_jitter` must be in [0, 1), got {self.photometric_jitter}.")
        for name in ("min_resize_value", "max_resize_value", "resize_factor"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"`{name}` must be >= 1, got {value}.")

    @classmethod
    def from_config(cls, data: DataConfig, mean_pixel: tuple[float, float, float] = GREY_PIXEL) -> Self:
        """Returns the augmentation of a training: that of `data`, and a horizontal flip with probability 1/2."""
        return cls(
            crop_size=data.train_crop_size,
            min_scale_factor=data.min_scale_factor,
            max_scale_factor=data.max_scale_factor,
            scale_factor_step_size=data.scale_factor_step_size,
            min_resize_value=data.min_resize_value,
            max_resize_value=data.max_resize_value,
            resize_factor=data.resize_factor,
            photometric_jitter=data.photometric_jitter,
            flip_probability=TRAINING_FLIP_PROBABILITY,
            mean_pixel=mean_pixel,
        )


@dataclasses.dataclass(frozen=True)
class Window:
    """The part of the source that a crop shows.

    Attributes:
      start: (top, left) of the part of the source; int32 [2].
      size: (height, width) of that part; int32 [2].
      shown: (height, width) to which it is scaled; the rest of the crop is padding; int32 [2].
    """

    start: tf.Tensor
    size: tf.Tensor
    shown: tf.Tensor


def draw_window(source_size: tf.Tensor, augmentation: Augmentation, seed: tf.Tensor) -> Window:
    """Draws the scale and the position of a crop.

    Args:
      source_size: (height, width) of the image; int32 [2].
      augmentation: ranges of scale and crop.
      seed: see the module's docstring.
    """
    seeds = tf.random.split(seed, 3)
    resized = resized_size(source_size, augmentation)
    scaled = _truncated(tf.cast(resized, tf.float32) * random_scale_factor(augmentation, seeds[0]))
    crop = tf.constant(augmentation.crop_size, tf.int32)
    free = tf.maximum(scaled, crop) - crop
    top = tf.random.stateless_uniform([], seeds[1], 0, free[0] + 1, tf.int32)
    left = tf.random.stateless_uniform([], seeds[2], 0, free[1] + 1, tf.int32)
    offset = tf.stack([top, left])
    shown = tf.minimum(scaled - offset, crop)
    # Aligned corners: pixel i of n in the scaled image lies at i * (source - 1) / (n - 1) in the source.
    scale = tf.cast(source_size - 1, tf.float32) / tf.cast(tf.maximum(scaled - 1, 1), tf.float32)
    start, end = (
        tf.cast(tf.round(tf.cast(place, tf.float32) * scale), tf.int32) for place in (offset, offset + shown - 1)
    )
    return Window(start, end - start + 1, shown)


def random_scale_factor(augmentation: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Returns a factor of linspace(min, max, (max - min) / step + 1), or with step 0 any value between min and max;
    float32 [].
    """
    low, high, step = (
        augmentation.min_scale_factor,
        augmentation.max_scale_factor,
        augmentation.scale_factor_step_size,
    )
    if step > 0:
        count = int((high - low) / step + 1)
        factors = tf.linspace(tf.constant(low, tf.float32), high, count)
        return factors[tf.random.stateless_uniform([], seed, 0, count, tf.int32)]
    return tf.random.stateless_uniform([], seed, low, high)


def resized_size(size: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Returns the (height, width) after the resize to a range of sides, as in DeepLab's resize_to_range; int32 [2]."""
    if augmentation.min_resize_value is None:
        return size
    sides = tf.cast(size, tf.float32)
    factor = augmentation.min_resize_value / tf.reduce_min(sides)
    if augmentation.max_resize_value is not None:
        factor = tf.minimum(factor, augmentation.max_resize_value / tf.reduce_max(sides))
    resized = tf.cast(tf.math.ceil(sides * factor), tf.int32)
    multiple = augmentation.resize_factor
    if multiple is not None:
        resized += (multiple - (resized - 1) % multiple) % multiple
    return resized


def _truncated(size: tf.Tensor) -> tf.Tensor:
    return tf.maximum(tf.cast(size, tf.int32), 1)


def scaled_image(pixels: tf.Tensor, window: Window) -> tf.Tensor:
    """Returns the window scaled by bilinear interpolation: uint8 [height, width, 3] -> float32 [*shown, 3]."""
    # The kernels themselves: only tf.compat.v1 has align_corners, with a warning.
    return tf.raw_ops.ResizeBilinear(images=pixels[tf.newaxis], size=window.shown, align_corners=True)[0]


def scaled_label(pixels: tf.Tensor, window: Window) -> tf.Tensor:
    """Returns the window of ids scaled by nearest neighbour: uint8 [height, width] -> int32 [*shown]."""
    nearest = tf.raw_ops.ResizeNearestNeighbor(
        images=pixels[tf.newaxis, ..., tf.newaxis], size=window.shown, align_corners=True
    )
    return tf.cast(nearest[0, ..., 0], tf.int32)


def finish(
    image: tf.Tensor, label: tf.Tensor, augmentation: Augmentation, ignore_label: int, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies the jitter, the padding at the bottom and right (mean pixel and ignore label) and the flip.

    Args:
      image: float32 [height, width, 3] in 0..255, not larger than the crop.
      label: int32 [height, width].
      augmentation: crop size, jitter, mean pixel and flips.
      ignore_label: label of the padding.
      seed: see the module's docstring.

    Returns:
      image float32 [crop height, crop width, 3] and label int32 [crop height, crop width].
    """
    seeds = tf.random.split(seed, 2)
    if augmentation.photometric_jitter:
        image = photometric_jitter(image, augmentation.photometric_jitter, seeds[0])
    missing = tf.constant(augmentation.crop_size, tf.int32) - tf.shape(label)
    paddings = [[0, missing[0]], [0, missing[1]]]
    image = _padded(image, paddings, augmentation.mean_pixel)
    label = tf.pad(label, paddings, constant_values=ignore_label)
    if augmentation.flip_probability:
        flip = tf.random.stateless_uniform([], seeds[1]) < augmentation.flip_probability
        # [:, ::-1] would take fifteen times as long.
        image, label = tf.cond(flip, lambda: (tf.reverse(image, [1]), tf.reverse(label, [1])), lambda: (image, label))
    height, width = augmentation.crop_size
    return tf.ensure_shape(image, [height, width, 3]), tf.ensure_shape(label, [height, width])


def _padded(image: tf.Tensor, paddings: list[list[Any]], pixel: tuple[float, float, float]) -> tf.Tensor:
    if len(set(pixel)) == 1:
        return tf.pad(image, [*paddings, [0, 0]], constant_values=pixel[0])
    channels = [tf.pad(image[..., i], paddings, constant_values=value) for i, value in enumerate(pixel)]
    return tf.stack(channels, axis=-1)


def photometric_jitter(image: tf.Tensor, strength: float, seed: tf.Tensor) -> tf.Tensor:
    """Changes brightness, contrast (about the mean) and saturation (about the grey value), each by a factor of at most
    1 +- strength.

    Args:
      image: float32 [height, width, 3] in 0..255, like the result.
      strength: largest relative change, in [0, 1).
      seed: see the module's docstring.
    """
    brightness, contrast, saturation = tf.unstack(
        tf.random.stateless_uniform([3], seed, 1.0 - strength, 1.0 + strength)
    )
    image = image * brightness
    image = tf.reduce_mean(image) * (1.0 - contrast) + image * contrast
    image = tf.image.rgb_to_grayscale(image) * (1.0 - saturation) + image * saturation
    return tf.clip_by_value(image, 0.0, 255.0)
