"""Augmentation in the published order: scale the whole image, pad, crop, flip; the baseline of input_pipeline.py.

It takes the same draws as deeplab_dpc/data/preprocess.py, so that the tests can compare the two pixel by pixel.
"""

import tensorflow as tf

from deeplab_dpc.data.preprocess import Augmentation, random_scale_factor


def augment(
    image: tf.Tensor,
    label: tf.Tensor,
    augmentation: Augmentation,
    ignore_label: int,
    window_seed: tf.Tensor,
    finish_seed: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Augments an example: uint8 [height, width, 3] and [height, width] -> float32 [*crop_size, 3] and int32
    [*crop_size].
    """
    image, label = tf.cast(image, tf.float32), tf.cast(label, tf.int32)[..., tf.newaxis]
    scale_seed, top_seed, left_seed = tf.unstack(tf.random.split(window_seed, 3))
    factor = random_scale_factor(augmentation, scale_seed)
    size = tf.maximum(tf.cast(tf.cast(tf.shape(image)[:2], tf.float32) * factor, tf.int32), 1)
    # The kernels themselves, as only tf.compat.v1 wraps align_corners and that warns.
    image = tf.raw_ops.ResizeBilinear(images=image[tf.newaxis], size=size, align_corners=True)[0]
    label = tf.raw_ops.ResizeNearestNeighbor(images=label[tf.newaxis], size=size, align_corners=True)[0]
    height, width = augmentation.crop_size
    missing = tf.maximum([height, width] - size, 0)
    paddings = [[0, missing[0]], [0, missing[1]], [0, 0]]
    # As in the published pad_to_bounding_box, zeros are padded between a subtraction and an addition.
    image = tf.pad(image - augmentation.mean_pixel, paddings) + augmentation.mean_pixel
    label = tf.pad(label - ignore_label, paddings) + ignore_label
    free = tf.shape(image)[:2] - [height, width]
    top = tf.random.stateless_uniform([], top_seed, 0, free[0] + 1, tf.int32)
    left = tf.random.stateless_uniform([], left_seed, 0, free[1] + 1, tf.int32)
    image = image[top : top + height, left : left + width]
    label = label[top : top + height, left : left + width, 0]
    flip = tf.random.stateless_uniform([], tf.random.split(finish_seed, 2)[1]) < augmentation.flip_probability
    return tf.cond(flip, lambda: (tf.reverse(image, [1]), tf.reverse(label, [1])), lambda: (image, label))
