"""DeepLab's augmentation as pure functions (image, label) -> (image, label): scale, pad, crop, flip.

Everywhere: image is float32 [height, width, 3] in 0..255, label is int32 [height, width, 1], and seed is an integer
tensor [2] that alone decides what is drawn.
"""

import tensorflow as tf

MEAN_PIXEL = 127.5  # becomes 0 in the model's x * 2 / 255 - 1

Pair = tuple[tf.Tensor, tf.Tensor]


def random_scale(
    image: tf.Tensor,
    label: tf.Tensor,
    min_scale_factor: float,
    max_scale_factor: float,
    scale_factor_step_size: float,
    seed: tf.Tensor,
) -> Pair:
    """Scales both sides by a random factor, truncating to whole pixels.

    Args:
      image: see the module's docstring.
      label: see the module's docstring.
      min_scale_factor: smallest factor, > 0.
      max_scale_factor: largest factor.
      scale_factor_step_size: distance between the factors that are drawn from; 0 draws from all in between.
      seed: see the module's docstring.
    """
    if not 0 < min_scale_factor <= max_scale_factor:
        raise ValueError(
            f"`min_scale_factor` must be > 0 and <= `max_scale_factor`, got {min_scale_factor} and {max_scale_factor}."
        )
    if scale_factor_step_size < 0:
        raise ValueError(f"`scale_factor_step_size` must be >= 0, got {scale_factor_step_size}.")
    if scale_factor_step_size > 0:
        count = int((max_scale_factor - min_scale_factor) / scale_factor_step_size + 1)
        factors = tf.linspace(tf.constant(min_scale_factor, tf.float32), max_scale_factor, count)
        scale = factors[tf.random.stateless_uniform([], seed, 0, count, tf.int32)]
    else:
        scale = tf.random.stateless_uniform([], seed, min_scale_factor, max_scale_factor)
    size = tf.cast(tf.cast(tf.shape(image)[:2], tf.float32) * scale, tf.int32)
    return _resize(image, label, tf.maximum(size, 1))


def _resize(image: tf.Tensor, label: tf.Tensor, size: tf.Tensor) -> Pair:
    # The kernels themselves, as only tf.compat.v1 wraps align_corners and that warns.
    image = tf.raw_ops.ResizeBilinear(images=image[tf.newaxis], size=size, align_corners=True)[0]
    label = tf.raw_ops.ResizeNearestNeighbor(images=label[tf.newaxis], size=size, align_corners=True)[0]
    return image, label


def pad_to_size(image: tf.Tensor, label: tf.Tensor, height: int, width: int, ignore_label: int) -> Pair:
    """Pads at the bottom and at the right so that the sides are at least (height, width) pixels."""
    missing = tf.maximum([height, width] - tf.shape(image)[:2], 0)
    paddings = [[0, missing[0]], [0, missing[1]], [0, 0]]
    return tf.pad(image, paddings, constant_values=MEAN_PIXEL), tf.pad(label, paddings, constant_values=ignore_label)


def random_crop(image: tf.Tensor, label: tf.Tensor, crop_size: tuple[int, int], seed: tf.Tensor) -> Pair:
    """Cuts the same random window of crop_size (height, width) out of both, which must be at least that large."""
    height, width = crop_size
    free = tf.shape(image)[:2] - [height, width]
    check = tf.debugging.assert_non_negative(free, "The image is smaller than the crop.")
    with tf.control_dependencies([] if check is None else [check]):  # None when eager: it has run already
        seeds = tf.random.split(seed, 2)
    top = tf.random.stateless_uniform([], seeds[0], 0, free[0] + 1, tf.int32)
    left = tf.random.stateless_uniform([], seeds[1], 0, free[1] + 1, tf.int32)
    image = tf.slice(image, [top, left, 0], [height, width, 3])
    label = tf.slice(label, [top, left, 0], [height, width, 1])
    return image, label


def random_flip(image: tf.Tensor, label: tf.Tensor, seed: tf.Tensor) -> Pair:
    """Mirrors both left to right with probability 0.5."""
    flip = tf.random.stateless_uniform([], seed) < 0.5
    return tf.cond(flip, lambda: (tf.reverse(image, [1]), tf.reverse(label, [1])), lambda: (image, label))
