"""Batches of one size with each example of a split once, for an evaluation that is compiled for that size only."""

from collections.abc import Sequence

import tensorflow as tf

from deeplab_dpc.config import DataConfig
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.pipeline import read_encoded
from deeplab_dpc.data.preprocess import Augmentation, finish
from deeplab_dpc.data.record_order import record_seed, with_contents
from deeplab_dpc.data.views import largest_resized

NO_SEED = 0  # unused, since nothing is random


def fixed_size_view(data: DataConfig, dataset: Dataset, split: str, stride: int) -> Augmentation:
    """Returns the augmentation that resizes images if `data` requires it, and pads them at the bottom and right to one
    size for all.

    Args:
      data: data configuration; its min_resize_value, max_resize_value and resize_factor are used.
      dataset: the prepared data set.
      split: split whose largest sides count; all its labels are read if images are resized.
      stride: stride in pixels; the sides become multiples of it plus 1.
    """
    resize = Augmentation(
        (1, 1),
        min_resize_value=data.min_resize_value,
        max_resize_value=data.max_resize_value,
        resize_factor=data.resize_factor,
    )
    height, width = (-(-(side - 1) // stride) * stride + 1 for side in largest_resized(dataset, split, resize))
    return Augmentation(
        (height, width),
        min_resize_value=data.min_resize_value,
        max_resize_value=data.max_resize_value,
        resize_factor=data.resize_factor,
    )


def fixed_size_batches(
    dataset: Dataset, split: str, view: Augmentation, batch_size: int, records: Sequence[int] | None = None
) -> tf.data.Dataset:
    """Returns batches that contain each example once.

    Args:
      dataset: the prepared data set.
      split: split with labels.
      view: augmentation of fixed_size_view; of a larger image always the same part is taken.
      batch_size: number of images in each batch; the last batch is filled with grey images without labels.
      records: indices of the records to read, in the split; None for all.

    Returns:
      Batches of (image float32 [batch_size, height, width, 3] in 0..255, label int32 [batch_size, height, width]).
    """
    index = dataset.index(split)
    ignore_label = dataset.info.ignore_label
    seed = record_seed(NO_SEED, tf.constant(0))

    def load(running_index: tf.Tensor, record: tf.Tensor, serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image, label = read_encoded(view, seed, record, serialized)
        return finish(image, label, view, ignore_label, seed)

    chosen = tf.constant(range(len(index)) if records is None else records, tf.int32)
    contents = with_contents(tf.data.Dataset.from_tensor_slices(chosen).enumerate(), index)
    missing = -len(chosen) % batch_size
    grey = tf.broadcast_to(tf.constant(view.mean_pixel), [*view.crop_size, 3]), tf.fill(view.crop_size, ignore_label)
    filling = tf.data.Dataset.from_tensors(grey).repeat(missing)
    examples = contents.map(load, num_parallel_calls=tf.data.AUTOTUNE).concatenate(filling)
    return examples.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
