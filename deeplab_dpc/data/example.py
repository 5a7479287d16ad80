"""The TFRecord schema of DeepLab (tensorflow/models, research/deeplab/datasets/build_data.py)."""

import struct
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from deeplab_dpc.console import printable
from deeplab_dpc.data.image_files import MAX_SIDE
from deeplab_dpc.errors import UserError

_PNG_SIGNATURE, _PNG_HEADER_END = b"\x89PNG\r\n\x1a\n", 24  # bytes, up to the end of the size
NO_LABEL = 255  # value of all pixels if a record has no label

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
    features: dict[str, tf.Tensor] = tf.io.parse_single_example(serialized, FEATURES)
    return features


def decode_label(features: dict[str, tf.Tensor]) -> tf.Tensor:
    """Returns the class ids, uint8 [height, width, 1]; NO_LABEL everywhere if a record has no label."""
    encoded = features["image/segmentation/class/encoded"]

    def unlabelled() -> tf.Tensor:
        size = tf.shape(decode_image(features))[:2]
        return tf.fill(tf.concat([size, [1]], axis=0), tf.constant(NO_LABEL, tf.uint8))

    return tf.cond(tf.strings.length(encoded) > 0, lambda: tf.io.decode_png(encoded, channels=1), unlabelled)


def decode_image(features: dict[str, tf.Tensor]) -> tf.Tensor:
    """Returns the image, uint8 [height, width, 3]."""
    return tf.io.decode_image(features["image/encoded"], channels=3, expand_animations=False)


def decode_image_window(
    features: dict[str, tf.Tensor], size: tf.Tensor, start: tf.Tensor, window: tf.Tensor
) -> tf.Tensor:
    """Returns a window of the image, uint8 [window height, window width, 3]; only that part of a JPEG is decoded.

    Args:
      features: features of `parse_example`.
      size: (height, width) that the image must have; int32 [2].
      start: (top, left) of the window; int32 [2].
      window: (height, width) of the window; int32 [2].

    Raises:
      tf.errors.InvalidArgumentError: if the image cannot be decoded or has another size.
    """
    encoded = features["image/encoded"]
    is_jpeg = tf.io.is_jpeg(encoded)

    def jpeg() -> tf.Tensor:
        actual = tf.image.extract_jpeg_shape(encoded)[:2]
        with tf.control_dependencies(_same_size(features, actual, size)):
            return tf.io.decode_and_crop_jpeg(encoded, tf.concat([start, window], axis=0), channels=3)

    def other() -> tf.Tensor:
        image = decode_image(features)
        with tf.control_dependencies(_same_size(features, tf.shape(image)[:2], size)):
            return image[start[0] : start[0] + window[0], start[1] : start[1] + window[1]]

    return tf.ensure_shape(tf.cond(is_jpeg, jpeg, other), [None, None, 3])


def _same_size(features: dict[str, tf.Tensor], image_size: tf.Tensor, label_size: tf.Tensor) -> list[Any]:
    """Returns the operations that check that both sizes, int32 [2], are equal, as control dependencies."""
    same_size = tf.reduce_all(tf.equal(image_size, label_size))
    message = ["Image and label differ in size: ", features["image/filename"], image_size, label_size]
    check = tf.raw_ops.Assert(condition=same_size, data=message)  # tf.debugging has another message in eager mode
    return [] if check is None else [check]  # None in eager mode, in which it has already run


def decode_example(features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Decodes the image and the label.

    Args:
      features: features of `parse_example`.

    Returns:
      Dictionary of image (uint8 [height, width, 3]), label (uint8 [height, width, 1]) and filename (string []).

    Raises:
      tf.errors.InvalidArgumentError: if one of them cannot be decoded, or their sizes differ.
    """
    image, label = decode_image(features), decode_label(features)
    with tf.control_dependencies(_same_size(features, tf.shape(image)[:2], tf.shape(label)[:2])):
        image, label = tf.identity(image), tf.identity(label)
    label = tf.ensure_shape(label, [None, None, 1])
    return {"image": tf.ensure_shape(image, [None, None, 3]), "label": label, "filename": features["image/filename"]}


def label_size(features: Mapping[str, Any]) -> tuple[int, int]:
    """Returns (height, width) of the label of a parsed record, from the header of its PNG.

    Raises:
      UserError: if the label is not a PNG with a valid size in its header.
    """
    data = features["image/segmentation/class/encoded"]
    if data[:8] == _PNG_SIGNATURE and len(data) >= _PNG_HEADER_END:
        width, height = struct.unpack_from(">II", data, 16)
        if min(width, height) > 0 and max(width, height) <= MAX_SIDE:
            return height, width
    raise UserError(
        f"The label of the image {filename_text(features['image/filename'])} is not a PNG that can be decoded; "
        "deeplab-dpc check-data names its record."
    )


def filename_text(name: bytes) -> str:
    """Returns the file name of a record as text of one line; bytes that are not UTF-8 or not printable are escaped.

    Different names therefore stay different, can be printed and drawn, and can be names of files.
    """
    return printable(name.decode("utf-8", "surrogateescape"))
