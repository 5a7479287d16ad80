"""Augmented views of the images of a split, in a fixed order, for feature caches."""

import os

import numpy as np
import tensorflow as tf

from deeplab_dpc.arch.fitting import aligned_side
from deeplab_dpc.data import preprocess
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.example import label_size, parse_example
from deeplab_dpc.data.pipeline import AUGMENTATION_STREAM, FINISH_STREAM, iterate, read_encoded
from deeplab_dpc.data.preprocess import Augmentation, resized_size
from deeplab_dpc.data.record_index import index_records
from deeplab_dpc.data.record_order import record_seed, with_contents


def view_dataset(
    dataset: Dataset, split: str, augmentation: Augmentation, count: int, seed: int, start: int = 0
) -> tf.data.Dataset:
    """Returns `count` views of each image of a split: all images in one view, then all in the next.

    Row `view * images + image` depends only on the seed and its own number, as in `training_dataset`, so that the rows
    can be generated starting at any row.

    Args:
      dataset: the prepared data set.
      split: split with labels.
      augmentation: augmentation of each view.
      count: number of views of each image, >= 1.
      seed: seed of the augmentation.
      start: index of the first row.

    Returns:
      Dictionaries of image (float32 [*crop_size, 3] in 0..255), label (int32 [*crop_size]) and filename (string []).
    """
    index = index_records(dataset.shards(split))
    images, ignore_label = len(index), dataset.info.ignore_label
    rows = tf.data.Dataset.range(start, count * images)
    order = rows.map(lambda row: (row, tf.cast(row % images, tf.int32)))

    def load(row: tf.Tensor, record: tf.Tensor, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        own_seed = record_seed(seed, row)
        image, label = read_encoded(augmentation, tf.random.fold_in(own_seed, AUGMENTATION_STREAM), record, serialized)
        finish_seed = tf.random.fold_in(own_seed, FINISH_STREAM)
        image, label = preprocess.finish(image, label, augmentation, ignore_label, finish_seed)
        return {"image": image, "label": label, "filename": parse_example(serialized)["image/filename"]}

    return with_contents(order, index).map(load, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def largest_resized(dataset: Dataset, split: str, augmentation: Augmentation) -> tuple[int, int]:
    """Returns the largest height and the largest width, in pixels, of the images of a split after the resize to a range
    of sides.
    """
    if augmentation.min_resize_value is None:
        height, width = dataset.max_size(split)
        return height, width
    shards = dataset.shards(split)
    records = iterate(
        tf.data.TFRecordDataset([os.fsencode(shard) for shard in shards]).map(parse_example),
        f"The split {split} of {dataset.path}",
        shards,
    )
    sizes = {label_size(features) for features in records}
    resized = np.array([resized_size(tf.constant(size, tf.int32), augmentation).numpy() for size in sizes])
    height, width = resized.max(axis=0).tolist()
    return height, width


def aligned(size: tuple[int, int], alignment: int) -> tuple[int, int]:
    """Returns the size rounded up to alignment * k + 1, so that features and pixels align."""
    height, width = (aligned_side(side, alignment) for side in size)
    return height, width
