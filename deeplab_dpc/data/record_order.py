"""The order of the records of a split, or of a part of it, in an endless stream: one permutation per epoch."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.example import parse_example
from deeplab_dpc.data.record_index import RecordIndex

PARALLEL_READS = 16  # records that are requested at a time, since network disks have a high latency


@dataclasses.dataclass(frozen=True)
class Shard:
    """The share of every global batch that this process reads: process `index` of `count`."""

    index: int = 0
    count: int = 1


WHOLE = Shard()


def record_order(
    records: Sequence[int] | npt.NDArray[np.int32], seed: int, batch_size: int, step: int, shard: Shard
) -> tf.data.Dataset:
    """Returns endless pairs (running index, record), both int, starting at a batch; each epoch has its own order.

    Args:
      records: indices of the records in an epoch, in any order.
      seed: seed that, together with the number of the epoch, determines its order.
      batch_size: number of records in a batch of this process.
      step: index of the first batch, counted from 0.
      shard: share of the records for this process.
    """
    start = step * batch_size * shard.count
    epoch, offset = divmod(start, len(records))
    of_an_epoch = tf.constant(np.asarray(records), tf.int32)

    def shuffled(epoch: tf.Tensor) -> tf.data.Dataset:
        # Not Dataset.shuffle: its order also depends on the global seed, with which, if 0, its seed cannot be a tensor.
        shuffled_records = tf.random.experimental.stateless_shuffle(of_an_epoch, record_seed(seed, epoch))
        return tf.data.Dataset.from_tensor_slices(shuffled_records)

    order = tf.data.Dataset.counter(epoch).flat_map(shuffled).skip(offset).enumerate(start)
    return order.shard(shard.count, shard.index)


def record_seed(seed: int, index: tf.Tensor) -> tf.Tensor:
    """Returns the seed, an integer tensor [2], of the random numbers for a running index."""
    return tf.stack([tf.constant(seed, tf.int64), tf.cast(index, tf.int64)])


def with_contents(order: tf.data.Dataset, index: RecordIndex) -> tf.data.Dataset:
    """Returns (running index, record, serialized record) for each (running index, record)."""
    files, file_of = tf.constant([os.fsencode(file) for file in index.files]), tf.constant(index.file_of)
    offset_of = tf.constant(index.offset_of)

    def contents(running_index: tf.Tensor, record: tf.Tensor) -> tf.data.Dataset:
        # tf.data.TFRecordDataset has no argument for offsets.
        variant = tf.raw_ops.TFRecordDatasetV2(
            filenames=files[file_of[record]][tf.newaxis],
            compression_type="",
            buffer_size=0,
            byte_offsets=offset_of[record][tf.newaxis],
        )
        serialized = tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string)).take(1)
        return serialized.map(lambda data: (running_index, record, data))

    return order.interleave(
        contents, cycle_length=PARALLEL_READS, block_length=1, num_parallel_calls=PARALLEL_READS, deterministic=True
    )


def record_names(
    dataset: Dataset, split: str, *, batch_size: int, seed: int, step: int, shard: Shard = WHOLE
) -> list[str]:
    """Returns the names of the records of a batch of `training_dataset`, in its order, without decoding them or reading
    earlier records.

    Args:
      dataset, split, batch_size, seed, shard: arguments of `training_dataset`.
      step: index of the batch, counted from 0.

    Returns:
      One text per record, such as "2007_000032.jpg (record 5 of train-00000-of-00004.tfrecord)"; without the file name
      if the record has none.
    """
    index = dataset.index(split)
    order = record_order(dataset.epoch(split), seed, batch_size, step, shard).take(batch_size)
    names = []
    for _, record, serialized in with_contents(order, index).as_numpy_iterator():
        file = index.file_of[record]
        place = f"record {record - np.searchsorted(index.file_of, file)} of {pathlib.Path(index.files[file]).name}"
        filename = parse_example(serialized)["image/filename"].numpy().decode(errors="replace")
        names.append(f"{filename} ({place})" if filename else place)
    return names
