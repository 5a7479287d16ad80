"""The input pipeline: from the records of a split to batches for training, and to single examples for evaluation and
caching.
"""

import contextlib
import itertools
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab_dpc.config import CACHE_MODES
from deeplab_dpc.config.model import GREY_PIXEL
from deeplab_dpc.data import decoded_cache, preprocess
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.decoded_cache import CACHE_FOLDER, DecodedCache
from deeplab_dpc.data.example import (
    decode_example,
    decode_image_window,
    decode_label,
    filename_text,
    label_size,
    parse_example,
)
from deeplab_dpc.data.preprocess import Augmentation, draw_window
from deeplab_dpc.data.record_order import WHOLE, Shard, record_order, record_seed, with_contents
from deeplab_dpc.data.tolerant_reader import READING_ERRORS, first_line
from deeplab_dpc.errors import UserError

AUGMENTATION_STREAM, FINISH_STREAM = 0, 1  # streams of the random numbers of a record


def training_dataset(
    dataset: Dataset,
    split: str,
    augmentation: Augmentation,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    cache: str = "none",
    shard: Shard = WHOLE,
    records: Sequence[int] | None = None,
) -> tf.data.Dataset:
    """Returns endless augmented batches, the same for the same seed on any machine and with any number of parallel
    calls.

    The random numbers of a record depend only on the seed and the record's running index, and the order of an epoch
    only on the seed and the epoch's number. A stream can therefore start at any step, and several processes can share
    it. The order is a permutation of all records of the split, whatever files they are in; only their indices are in
    memory.

    Args:
      dataset: the prepared data set.
      split: split with labels; several splits are read as one (`split_parts`).
      augmentation: augmentation of each example.
      batch_size: number of images per batch of this process; a batch may span epochs.
      seed: seed of order and augmentation.
      start_step: number of batches to skip at the start, without decoding them.
      cache: "none"; "memory" or "disk" to decode each picture once, see decoded_cache.
      shard: share of the records for this process.
      records: indices of the records to read, in the split; None for all.

    Returns:
      Batches of (image float32 [batch, height, width, 3] in 0..255, label int32 [batch, height, width]).

    Raises:
      UserError: if the split has no labels, a record file is damaged, or the cache does not fit.
      ValueError: if `cache` has another value.
    """
    if cache not in CACHE_MODES:
        raise ValueError(f"`cache` must be one of {', '.join(CACHE_MODES)}, got {cache}.")
    dataset.require_labels(split)
    index = dataset.index(split)
    read = _reader(dataset, split, cache)
    ignore_label = dataset.info.ignore_label

    def load(running_index: tf.Tensor, *source: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        own_seed = record_seed(seed, running_index)
        image, label = read(augmentation, tf.random.fold_in(own_seed, AUGMENTATION_STREAM), *source)
        finish_seed = tf.random.fold_in(own_seed, FINISH_STREAM)
        return preprocess.finish(image, label, augmentation, ignore_label, finish_seed)

    of_an_epoch = dataset.epoch(split) if records is None else records
    order = record_order(of_an_epoch, seed, batch_size, start_step, shard)
    source = order if cache != "none" else with_contents(order, index)
    batches = source.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(
        batch_size, drop_remainder=True, num_parallel_calls=tf.data.AUTOTUNE
    )
    return batches.prefetch(tf.data.AUTOTUNE)


def _reader(dataset: Dataset, split: str, cache: str) -> Callable[..., Any]:
    """Returns a function from (augmentation, seed, *source) to the scaled windows of the image and of the label."""
    if cache == "none":
        return read_encoded
    decoded = _decoded(dataset, split, cache)
    sizes = tf.constant(decoded.sizes)

    def read_cached(augmentation: Augmentation, seed: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        window = draw_window(sizes[record], augmentation, seed)
        arguments = [record, *tf.unstack(window.start), *tf.unstack(window.size)]
        image, label = tf.numpy_function(decoded.window, arguments, (tf.uint8, tf.uint8))
        image, label = tf.ensure_shape(image, [None, None, 3]), tf.ensure_shape(label, [None, None])
        return preprocess.scaled_image(image, window), preprocess.scaled_label(label, window)

    return read_cached


def read_encoded(
    augmentation: Augmentation, seed: tf.Tensor, record: tf.Tensor, serialized: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the scaled window of a record's image, float32 [*shown, 3] in 0..255, and of its label, int32
    [*shown].
    """
    features = parse_example(serialized)
    label = decode_label(features)[..., 0]
    size = tf.shape(label)
    window = draw_window(size, augmentation, seed)
    image = decode_image_window(features, size, window.start, window.size)
    top, left = tf.unstack(window.start)
    height, width = tf.unstack(window.size)
    label = label[top : top + height, left : left + width]
    return preprocess.scaled_image(image, window), preprocess.scaled_label(label, window)


def _decoded(dataset: Dataset, split: str, cache: str) -> DecodedCache:
    shards = dataset.shards(split)
    description = f"The split {split} of {dataset.path}"

    def sizes() -> np.ndarray:
        records = iterate(_records(shards).map(parse_example), description, shards)
        return np.array([label_size(features) for features in records], np.int32)

    examples = iterate(evaluation_dataset(dataset, split), description, shards)
    pictures = ((example["image"], example["label"].astype("uint8")) for example in examples)
    digest = dataset.index(split).digest()
    name = "+".join(part.split for part in dataset.parts(split))
    return decoded_cache.open_cache(cache, shards, digest, name, sizes, pictures, dataset.path / CACHE_FOLDER)


def evaluation_dataset(
    dataset: Dataset,
    split: str,
    crop_size: tuple[int, int] | None = None,
    seed: int = 0,
    mean_pixel: tuple[float, float, float] = GREY_PIXEL,
) -> tf.data.Dataset:
    """Returns the examples of a split one by one, in the order of the records.

    Args:
      dataset: the prepared data set.
      split: name of the split.
      crop_size: (height, width) in pixels to pad and crop to; None leaves sizes as they are.
      seed: seed that, together with the index of the record, determines the position of the crop.
      mean_pixel: (red, green, blue) of the padding.

    Returns:
      Dictionaries of image (uint8 [height, width, 3], or float32 if cropped), label (int32 [height, width]) and
      filename (string []).
    """
    ignore_label = dataset.info.ignore_label

    def load(index: tf.Tensor, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        example = decode_example(parse_example(serialized))
        image, label = example["image"], tf.cast(example["label"][..., 0], tf.int32)
        if crop_size is not None:
            augmentation = Augmentation(crop_size, mean_pixel=mean_pixel)
            own_seed = record_seed(seed, index)
            window = draw_window(tf.shape(label), augmentation, own_seed)
            (top, left), (height, width) = tf.unstack(window.start), tf.unstack(window.size)
            image = tf.cast(image[top : top + height, left : left + width], tf.float32)
            label = label[top : top + height, left : left + width]
            image, label = preprocess.finish(image, label, augmentation, ignore_label, own_seed)
        return {"image": image, "label": label, "filename": example["filename"]}

    records = _records(dataset.shards(split)).enumerate()
    return records.map(load, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def iterate(tf_dataset: tf.data.Dataset, description: str, shards: Sequence[pathlib.Path] = ()) -> Iterator[Any]:
    """Yields the elements of a data set; TensorFlow's errors for damaged records become a UserError of one sentence.

    Args:
      tf_dataset: a tf.data.Dataset of this module.
      description: description of the data for messages, for example "The split val of D".
      shards: record files of the data set, searched for the damaged record once reading has failed.

    Raises:
      UserError: if a record is damaged, or its image or label cannot be decoded.
    """
    try:
        yield from tf_dataset.as_numpy_iterator()
    except tf.errors.ResourceExhaustedError:
        raise  # not an error of the records
    except READING_ERRORS as error:
        raise _own_error(error) or UserError(_explain(description, shards, error)) from error


def _own_error(error: tf.errors.OpError | UnicodeDecodeError) -> UserError | None:
    """Returns the UserError that was raised in a function of the pipeline; None if it is another error."""
    match = re.search(rf"{UserError.__name__}: (.+)", error.message) if isinstance(error, tf.errors.OpError) else None
    return UserError(match[1]) if match else None


@contextlib.contextmanager
def damaged_record_named(description: str, shards: Sequence[pathlib.Path]) -> Iterator[None]:
    """Converts TensorFlow's errors inside the context of a training into a UserError if a record file is damaged."""
    try:
        yield
    except tf.errors.ResourceExhaustedError:
        raise  # not an error of the records
    except READING_ERRORS as error:
        if own := _own_error(error):
            raise own from error
        if next(filter(None, map(_damaged_record, shards)), None) is None:
            raise
        raise UserError(_explain(description, shards, error)) from error


def _explain(description: str, shards: Sequence[pathlib.Path], error: tf.errors.OpError | UnicodeDecodeError) -> str:
    found = next(filter(None, map(_damaged_record, shards)), None)
    if found is None:
        found = next(filter(None, map(_unlabelled_record, shards)), None)
    reason = first_line(error)
    if found is None:
        return f"{description} cannot be read ({reason}); build the data set again."
    record, reason = found
    return f"{description} cannot be read: {record} is damaged ({reason}); build the data set again."


def _damaged_record(shard: pathlib.Path) -> tuple[str, str] | None:
    """Returns the first record of a file that cannot be read or decoded, and the reason."""
    records = iter(_records([shard]))
    for index in itertools.count():
        filename = ""
        try:
            serialized = next(records, None)
            if serialized is None:
                break
            features = parse_example(serialized)
            filename = f" (image {filename_text(features['image/filename'].numpy())})"
            decode_example(features)
        except READING_ERRORS as error:
            return f"record {index} of {shard}{filename}", first_line(error)
    return None


def _unlabelled_record(shard: pathlib.Path) -> tuple[str, str] | None:
    """Returns the first record of an undamaged file that has no label, in the form of `_damaged_record`."""
    for index, features in enumerate(_records([shard]).map(parse_example).as_numpy_iterator()):
        if not features["image/segmentation/class/encoded"]:
            return f"record {index} of {shard} (image {filename_text(features['image/filename'])})", "it has no label"
    return None


def _records(shards: Sequence[pathlib.Path]) -> tf.data.Dataset:
    return tf.data.TFRecordDataset([os.fsencode(shard) for shard in shards])
