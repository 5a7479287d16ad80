"""DeepLab's TFRecords used directly: <split>-00000-of-00010.tfrecord beside a classes file, without metadata.

Their schema is that of example.py. The metadata is computed by reading the records once, and written beside them.
"""

import json
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from deeplab_dpc.console import console
from deeplab_dpc.data.absent_classes import absent_class_problem, read_label_counts
from deeplab_dpc.data.classes_file import CLASSES_FILE, read_classes_file
from deeplab_dpc.data.dataset_info import INFO_FILE, RECORD_FILES, Dataset, DatasetInfo
from deeplab_dpc.data.example import parse_example
from deeplab_dpc.data.image_files import TooLargeError, declared_size
from deeplab_dpc.data.label_statistics import NUM_IDS, out_of_range
from deeplab_dpc.data.pipeline import iterate
from deeplab_dpc.data.record_files import records_name
from deeplab_dpc.errors import UserError, first_few
from deeplab_dpc.files import read_json, write_json

SHOWN_IDS = 8
CHECKED_OF_OURS = 50  # records that are read in case their metadata was edited
_LABEL = "image/segmentation/class/encoded"
_SHARD_NAME = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.tfrecord")

# Where a PNG's header says how its samples are stored (PNG specification, 11.2.2).
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_BIT_DEPTH, _PNG_COLOR_TYPE = 24, 25
_GREY, _INDEXED = 0, 3


def load_records(path: pathlib.Path, classes: str | os.PathLike[str]) -> Dataset:
    """Returns the data set of a directory of record files, with the classes of `read_classes_file`.

    The splits and counts are those of the files, the largest sizes those in the images' headers. They are written to
    the directory, if possible, and computed again if the files have changed.

    Raises:
      UserError: if the classes file or a shard is missing, a record cannot be read, or its label is not a grey 8-bit
        PNG.
    """
    if classes == path / CLASSES_FILE and not classes.exists():
        raise UserError(
            f'{path} has record files but no {CLASSES_FILE}; write {classes} with {{"classes": ["background", ...], '
            '"ignore_label": 255}, the names in the order of the label ids, or give such a file as --classes, '
            "or the names there, separated by commas."
        )
    meaning = read_classes_file(classes)
    shards = _shards(path)
    stats = {shard.name: shard.stat() for members in shards.values() for shard in members}
    files = {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}
    info_path = path / INFO_FILE
    kept = read_json(info_path, "data set's metadata") if info_path.exists() else {}
    if kept.get(RECORD_FILES) == files:
        counted = DatasetInfo.from_json(kept)
    else:
        counted = _count(path, shards)
        _print_changes(path, kept.get("splits"), counted.splits)
    info = DatasetInfo(
        name=records_name(path),
        class_names=meaning.names,
        palette=meaning.palette,
        ignore_label=meaning.ignore_label,
        splits=counted.splits,
        max_size=counted.max_size,
        unlabelled=counted.unlabelled,
        categories=meaning.categories,
        allow_absent_classes=meaning.allow_absent_classes,
    )
    value = json.loads(json.dumps(info.to_json() | {RECORD_FILES: files}))
    if value != kept:
        _keep(info_path, value)
    return Dataset(path, info)


def _print_changes(path: pathlib.Path, before: Any, now: dict[str, int]) -> None:
    """Prints the splits whose records have changed since they were last counted."""
    if not isinstance(before, dict):
        return
    for split in sorted(before.keys() & now.keys()):
        if before[split] != now[split]:
            console.print(f"{path / split}-* held {before[split]} records when last counted, now {now[split]}.")


def _require_layout(shards: list[pathlib.Path], counts: list[int]) -> None:
    """Raises a UserError for an empty file, unless DeepLab's division (ceil(records / files) in each) explains it."""
    total, each = sum(counts), -(-sum(counts) // len(counts))
    expected = [max(0, min(each, total - number * each)) for number in range(len(counts))]
    if 0 in counts and total and counts != expected:
        empty = shards[counts.index(0)]
        raise UserError(f"The record file {empty} is empty and others are not; fetch or write it again.")


def _keep(info_path: pathlib.Path, value: dict[str, Any]) -> None:
    try:
        write_json(info_path, value)
    except OSError as error:
        console.print(f"The counts cannot be kept in {info_path} ({error.strerror}); they are counted again next time.")


def _shards(path: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """Returns the record files by split, in order.

    Raises:
      UserError: if one is missing between or after the others, or belongs to another number of shards.
    """
    shards: dict[str, list[pathlib.Path]] = {}
    for file in sorted(path.iterdir()):
        if match := _SHARD_NAME.fullmatch(file.name):
            shards.setdefault(match[1], []).append(file)
    for split, members in shards.items():
        total = members[0].name[-len("00000.tfrecord") :]
        expected = [f"{split}-{number:05d}-of-{total}" for number in range(int(total[:5]))]
        present = [member.name for member in members]
        if missing := sorted(set(expected) - set(present)):
            raise UserError(f"The record file {path / missing[0]} is missing; {members[0].name} is there.")
        if extra := sorted(set(present) - set(expected)):
            raise UserError(f"The record file {path / extra[0]} does not belong to {members[0].name}; remove one set.")
    return shards


def _count(path: pathlib.Path, shards: dict[str, list[pathlib.Path]]) -> DatasetInfo:
    """Reads all records and returns the metadata without classes."""
    console.print(f"Reading the records in {path} once, to count them and to see how labels are stored.")
    splits, max_size = {}, {}
    unlabelled: tuple[str, ...] = ()
    for split, members in shards.items():
        count = labelled = height = width = 0
        counts = dict.fromkeys(members, 0)
        without = ""  # the first record without a label
        for shard, title, record in _examples(members):
            counts[shard] += 1
            size = _image_size(record, title)
            height, width = max(height, size[0]), max(width, size[1])
            label = _bytes(record, _LABEL)
            if label:
                _check_stored_as_ids(label, title)
            else:
                without = without or title
            count, labelled = count + 1, labelled + bool(label)
        _require_layout(members, list(counts.values()))
        if not count:
            raise UserError(f"The record files {path / split}-* hold no record; remove them or write them again.")
        if labelled not in (0, count):
            raise UserError(f"{labelled} of the {count} records {path / split}-* have labels: {without} has none.")
        splits[split], max_size[split] = count, (height, width)
        if not labelled:
            unlabelled += (split,)
    return DatasetInfo(path.name, (), (), 0, splits, max_size, unlabelled)


def _examples(shards: list[pathlib.Path]) -> Iterator[tuple[pathlib.Path, str, Any]]:
    """Yields the file, the name in messages, and the features by key of each record."""
    for shard in shards:
        index = 0
        try:
            for index, serialized in enumerate(tf.data.TFRecordDataset([os.fsencode(shard)]).as_numpy_iterator()):
                features = tf.train.Example.FromString(serialized).features.feature
                filename = _bytes(features, "image/filename").decode(errors="replace")
                title = f"record {index} of {shard}" + (f" (image {filename})" if filename else "")
                yield shard, title, features
        except (tf.errors.DataLossError, DecodeError) as error:
            raise UserError(
                f"The record file {shard} is damaged at or after record {index} ({type(error).__name__}); "
                "fetch or write it again."
            ) from error


def _bytes(features: Any, key: str) -> bytes:
    return next(iter(features[key].bytes_list.value), b"") if key in features else b""


def _integer(features: Any, key: str) -> int:
    return next(iter(features[key].int64_list.value), 0) if key in features else 0


def _image_size(features: Any, title: str) -> tuple[int, int]:
    """Returns the (height, width) of the encoded image; the values in the record if the header cannot be read."""
    try:
        told = declared_size(_bytes(features, "image/encoded"))
        declared_size(_bytes(features, _LABEL))
    except TooLargeError as error:
        raise UserError(f"A picture of {title} cannot be read: {error}; write the records again.") from error
    height, width = told or (_integer(features, "image/height"), _integer(features, "image/width"))
    if min(height, width) < 1:
        raise UserError(f"The image of {title} cannot be decoded; write the records again without it.")
    return height, width


def _check_stored_as_ids(label: bytes, title: str) -> None:
    """Raises a UserError if TensorFlow would not decode the pixels of a label to the intended ids."""
    if not label.startswith(_PNG_SIGNATURE) or len(label) <= _PNG_COLOR_TYPE:
        raise UserError(
            f"The label of {title} is not a PNG; write the records again with class ids as grey 8-bit PNGs."
        )
    depth, color = label[_PNG_BIT_DEPTH], label[_PNG_COLOR_TYPE]
    if color == _INDEXED:
        raise UserError(
            f"The label of {title} is a colour-mapped PNG, which would be read as the brightness of its colours; write "
            "the records again with the palette's indices as a grey PNG (as remove_gt_colormap.py of DeepLab does)."
        )
    if (depth, color) != (8, _GREY):
        kind = "grey" if color == _GREY else "coloured"
        raise UserError(
            f"The label of {title} is a {kind} PNG of {depth} bits a sample; write the records again with class ids as "
            "grey 8-bit PNGs."
        )


def check_labels(dataset: Dataset, split: str) -> None:
    """Checks the labels before a training for problems that cannot be intended.

    These are ids that are neither a class nor the ignore label, and the problems of `absent_class_problem`. All
    records are read, except in data sets of this package, which store the counts of their ids: only their first records
    are read, in case their metadata was edited.

    Args:
      dataset: any data set.
      split: split with labels.

    Raises:
      UserError: if there are such problems, or a record cannot be read.
    """
    kept = read_label_counts(dataset)
    if kept is None:
        console.print(f"Checking the labels of the {dataset.num_images(split)} records of {split}.")
    names = [part.split for part in dataset.parts(split)]
    counted = {name: _count_ids(dataset, name, None if kept is None else CHECKED_OF_OURS) for name in names}
    others = [name for name in dataset.info.labelled_splits if name not in names]
    pixels = {split: np.sum([(kept or counted)[name] for name in names], axis=0)} | {
        name: kept[name] for name in others if kept
    }
    if kept is None and absent_class_problem(pixels, split, dataset.info):  # a class may occur only in the other splits
        pixels |= {name: _count_ids(dataset, name) for name in others}
    if problem := absent_class_problem(pixels, split, dataset.info):
        raise UserError(f"The data set in {dataset.path} cannot be trained on: {problem}.")


def check_evaluable(dataset: Dataset, split: str, instead: str) -> None:
    """Checks before a training that a split can be evaluated; reads the same labels as `check_labels`.

    Args:
      dataset: any data set.
      split: split with labels.
      instead: alternative that the message suggests to the user.

    Raises:
      UserError: if a label has an id that is neither a class nor the ignore label, or no pixel is labelled.
    """
    kept, info = read_label_counts(dataset), dataset.info
    try:
        pixels = _count_ids(dataset, split, None if kept is None else CHECKED_OF_OURS)
    except UserError as error:
        raise UserError(f"The split {split} cannot be evaluated: {str(error).rstrip('.')}; {instead}.") from error
    counted = pixels if kept is None else np.sum([kept[part.split] for part in dataset.parts(split)], axis=0)
    if counted.sum() == counted[info.ignore_label]:
        raise UserError(
            f"The split {split} of {dataset.path} cannot be evaluated, as no pixel of it is labelled: all have the "
            f"ignore label {info.ignore_label}; {instead}."
        )


def _count_ids(dataset: Dataset, split: str, at_most: int | None = None) -> np.ndarray:
    """Returns the number of pixels with each id in the labels of a split, or of its first records: int64 [256].

    Raises:
      UserError: if a label has an id that is neither a class nor the ignore label, or a record cannot be read.
    """
    shards = dataset.shards(split)
    records = tf.data.TFRecordDataset([os.fsencode(shard) for shard in shards])
    labels = iterate(
        records.take(-1 if at_most is None else at_most).map(_filename_and_label, num_parallel_calls=tf.data.AUTOTUNE),
        f"The split {split} of {dataset.path}",
        shards,
    )
    info = dataset.info
    pixels = np.zeros(NUM_IDS, np.int64)
    for index, (filename, label) in enumerate(labels):
        counts = np.bincount(label.ravel(), minlength=NUM_IDS)
        if wrong := list(out_of_range(counts, info.num_classes, info.ignore_label)):
            listed = first_few(wrong, SHOWN_IDS)
            raise UserError(
                f"The label of record {index} of the split {split} in {dataset.path} (image "
                f"{filename.decode(errors='replace')}) has the ids {listed}, but there are {info.num_classes} classes "
                f"(ids 0 to {info.num_classes - 1}) and the ignore label is {info.ignore_label}; deeplab-dpc "
                "check-data reports all of them."
            )
        pixels += counts
    return pixels


def _filename_and_label(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    features = parse_example(serialized)
    return features["image/filename"], tf.io.decode_png(features[_LABEL], channels=1)
