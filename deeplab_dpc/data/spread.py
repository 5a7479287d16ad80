"""A sample of images that are spread over a whole split."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.example import decode_image, filename_text, parse_example
from deeplab_dpc.data.pipeline import iterate
from deeplab_dpc.data.record_order import with_contents


def spread_images(dataset: Dataset, split: str, number: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yields images evenly spread over the records of a split; the other records are not read.

    Args:
      dataset: the prepared data set.
      split: name of the split, with or without labels.
      number: number of images, at least 1; a smaller split yields all of its images.

    Yields:
      (file name, image uint8 [height, width, 3]) in the order of the records.

    Raises:
      UserError: if there is no such split, or a record is damaged.
    """
    index = dataset.index(split)
    chosen = np.linspace(0, len(index) - 1, min(number, len(index))).round().astype("int64")
    order = tf.data.Dataset.from_tensor_slices((np.arange(len(chosen)), chosen))

    def decode(_: tf.Tensor, __: tf.Tensor, serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features = parse_example(serialized)
        return features["image/filename"], decode_image(features)

    examples = with_contents(order, index).map(decode)
    for name, image in iterate(examples, f"The split {split} of {dataset.path}", dataset.shards(split)):
        yield filename_text(name), image
