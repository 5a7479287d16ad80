"""The TFRecord schema of DeepLab (tensorflow/models, research/deeplab/datasets/build_data.py)."""

import tensorflow as tf

FEATURES = {
    "image/encoded": tf.io.FixedLenFeature((), tf.string),
    "image/filename": tf.io.FixedLenFeature((), tf.string, default_value=""),
    "image/format": tf.io.FixedLenFeature((), tf.string, default_value="jpeg"),
    "image/height": tf.io.FixedLenFeature((), tf.int64, default_value=0),
    "image/width": tf.io.FixedLenFeature((), tf.int64, default_value=0),
    "image/channels": tf.io.FixedLenFeature((), tf.int64, default_value=3),
    "image/segmentation/class/encoded": tf.io.FixedLenFeature((), tf.string, default_value=""),
    "image/segmentation/class/format": tf.io.FixedLenFeature((), tf.string, default_value="png"),
}


def parse_example(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parses one serialized tf.train.Example; keys that older records lack get a default."""
    return tf.io.parse_single_example(serialized, FEATURES)


def decode_example(features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Decodes image and label.

    Args:
      features: as `parse_example` returns them.

    Returns:
      image: uint8 [height, width, 3].
      label: uint8 [height, width, 1].
      filename: string [].

    Raises:
      tf.errors.InvalidArgumentError: if one cannot be decoded or their sizes differ.
    """
    filename = features["image/filename"]
    image = tf.io.decode_image(features["image/encoded"], channels=3, expand_animations=False)
    label = tf.io.decode_png(features["image/segmentation/class/encoded"], channels=1)
    same_size = tf.reduce_all(tf.equal(tf.shape(image)[:2], tf.shape(label)[:2]))
    message = ["Image and label differ in size: ", filename, tf.shape(image)[:2], tf.shape(label)[:2]]
    check = tf.raw_ops.Assert(condition=same_size, data=message)  # tf.debugging words it otherwise when eager
    with tf.control_dependencies([] if check is None else [check]):  # None when eager: it has run already
        image, label = tf.identity(image), tf.identity(label)
    return {"image": tf.ensure_shape(image, [None, None, 3]), "label": label, "filename": filename}
