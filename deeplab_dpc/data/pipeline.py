"""From the records of a split to batches for training, and to single examples for evaluation and caching."""

import contextlib
import itertools
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from deeplab_dpc.data import preprocess
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.example import decode_example, parse_example
from deeplab_dpc.errors import UserError

SHUFFLE_BUFFER = 10_000  # records shuffled together; a split up to this size is shuffled as a whole


def training_dataset(
    dataset: Dataset,
    split: str,
    *,
    crop_size: tuple[int, int],
    batch_size: int,
    min_scale_factor: float = 0.5,
    max_scale_factor: float = 2.0,
    scale_factor_step_size: float = 0.25,
    seed: int,
    start_step: int = 0,
) -> tf.data.Dataset:
    """Endless augmented batches, the same for the same seed on any machine.

    What is drawn for a record depends only on the seed and the record's running index, and the order of an epoch only
    on the seed and the epoch's number; so a stream can be entered at any step.

    Args:
      dataset: the prepared data set.
      split: the split to read.
      crop_size: (height, width) of the batches, in pixels.
      batch_size: images per batch; a batch may span epochs.
      min_scale_factor: see `preprocess.random_scale`.
      max_scale_factor: see `preprocess.random_scale`.
      scale_factor_step_size: see `preprocess.random_scale`.
      seed: decides order and augmentation.
      start_step: number of batches to leave out at the start, without decoding them.

    Returns:
      Batches of (image float32 [batch, height, width, 3] in 0..255, label int32 [batch, height, width]).
    """
    ignore_label = dataset.info.ignore_label

    def load(index: tf.Tensor, serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = decode_example(parse_example(serialized))
        image, label = tf.cast(example["image"], tf.float32), tf.cast(example["label"], tf.int32)
        seeds = tf.random.split(_record_seed(seed, index), 3)
        image, label = preprocess.random_scale(
            image, label, min_scale_factor, max_scale_factor, scale_factor_step_size, seeds[0]
        )
        image, label = cropped_example(image, label, crop_size, ignore_label, seeds[1])
        image, label = preprocess.random_flip(image, label, seeds[2])
        return image, label[..., 0]

    records = _shuffled_records(dataset, split, seed, start=start_step * batch_size)
    batches = records.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size, drop_remainder=True)
    return batches.prefetch(tf.data.AUTOTUNE)


def evaluation_dataset(
    dataset: Dataset, split: str, crop_size: tuple[int, int] | None = None, seed: int = 0
) -> tf.data.Dataset:
    """The examples of a split one by one, in the order of the records.

    Args:
      dataset: the prepared data set.
      split: the split to read.
      crop_size: (height, width) in pixels to pad and crop to, as `cropped_example` does; None leaves sizes as they are.
      seed: with the record's index decides where to crop.

    Returns:
      Dictionaries of image (uint8 [height, width, 3], or float32 if cropped), label (int32 [height, width]) and
      filename (string []).
    """
    ignore_label = dataset.info.ignore_label

    def load(index: tf.Tensor, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        example = decode_example(parse_example(serialized))
        image, label = example["image"], tf.cast(example["label"], tf.int32)
        if crop_size is not None:
            image = tf.cast(image, tf.float32)
            image, label = cropped_example(image, label, crop_size, ignore_label, _record_seed(seed, index))
        return {"image": image, "label": label[..., 0], "filename": example["filename"]}

    records = _records(dataset.shards(split)).enumerate()
    return records.map(load, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def cropped_example(
    image: tf.Tensor, label: tf.Tensor, crop_size: tuple[int, int], ignore_label: int, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Pads at the bottom and right where the sides are smaller than crop_size (height, width), then crops to it."""
    image, label = preprocess.pad_to_size(image, label, *crop_size, ignore_label)
    return preprocess.random_crop(image, label, crop_size, seed)


def iterate(tf_dataset: tf.data.Dataset, description: str, shards: Sequence[pathlib.Path] = ()) -> Iterator[Any]:
    """Iterates, and turns what TensorFlow says of damaged records into one sentence.

    Args:
      tf_dataset: of this module.
      description: what is read, for example "The split val of D".
      shards: the record files behind it, searched for the damaged record once reading has failed.

    Raises:
      UserError: if a record is damaged, or its image or label cannot be decoded.
    """
    try:
        yield from tf_dataset.as_numpy_iterator()
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        raise UserError(_explain(description, shards, error)) from error


@contextlib.contextmanager
def damaged_record_named(description: str, shards: Sequence[pathlib.Path]) -> Iterator[None]:
    """For training: an error of TensorFlow inside becomes a UserError if one of the record files is damaged."""
    try:
        yield
    except tf.errors.OpError as error:
        if next(filter(None, map(_damaged_record, shards)), None) is None:
            raise
        raise UserError(_explain(description, shards, error)) from error


def _explain(description: str, shards: Sequence[pathlib.Path], error: tf.errors.OpError) -> str:
    found = next(filter(None, map(_damaged_record, shards)), None)
    reason = _reason(error)
    if found is None:
        return f"{description} cannot be read ({reason}); build the data set again."
    record, reason = found
    return f"{description} cannot be read: {record} is damaged ({reason}); build the data set again."


def _damaged_record(shard: pathlib.Path) -> tuple[str, str] | None:
    """The first record of a file that cannot be read or decoded, and why."""
    records = iter(_records([shard]))
    for index in itertools.count():
        filename = ""
        try:
            serialized = next(records, None)
            if serialized is None:
                break
            features = parse_example(serialized)
            filename = f" (image {features['image/filename'].numpy().decode(errors='replace')})"
            decode_example(features)
        except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
            return f"record {index} of {shard}{filename}", _reason(error)
    return None


def _reason(error: tf.errors.OpError) -> str:
    """The first line of TensorFlow's message, without the operations that it passed through."""
    message = re.sub(r"\{\{function_node.*?\}\}", "", error.message).strip()
    return message.splitlines()[0].partition(" [Op:")[0].rstrip(".")


def _records(shards: Sequence[pathlib.Path]) -> tf.data.Dataset:
    return tf.data.TFRecordDataset([str(shard) for shard in shards])


def _shuffled_records(dataset: Dataset, split: str, seed: int, start: int) -> tf.data.Dataset:
    """Endless (running index, serialized record) from the index `start` on, in another order each epoch."""
    records = _records(dataset.shards(split))
    size = dataset.info.splits[split]
    epoch, offset = divmod(start, size)

    def shuffled(epoch: tf.Tensor) -> tf.data.Dataset:
        # Not Dataset.shuffle: its order depends on the global seed too, and it takes no tensor as a seed beside seed 0.
        def shuffled_window(window: tf.Tensor) -> tf.data.Dataset:
            order = tf.random.experimental.stateless_shuffle(window, _record_seed(seed, epoch))
            return tf.data.Dataset.from_tensor_slices(order)

        return records.batch(SHUFFLE_BUFFER).flat_map(shuffled_window)

    epochs = tf.data.Dataset.counter(epoch).flat_map(shuffled)
    return epochs.skip(offset).enumerate(start)


def _record_seed(seed: int, index: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.constant(seed, tf.int64), tf.cast(index, tf.int64)])
