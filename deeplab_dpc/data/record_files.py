"""The record files of a split, and checks that all exist and agree with the metadata. Needs no TensorFlow.

TensorFlow Datasets (TFDS) writes the number of files, the records of each and their bytes to dataset_info.json, so that
complete files can be recognised by their sizes alone.
"""

import glob
import pathlib
import re
from collections.abc import Sequence
from typing import Any

from deeplab_dpc.data.record_index import FRAME_BYTES, record_offsets
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import read_json

TFDS_INFO = "dataset_info.json"
_NUMBERED = re.compile(r"-(\d{5})-of-(\d{5})\.tfrecord")


def records_name(path: pathlib.Path) -> str:
    """Returns the name of a data set of DeepLab's record files: the name of the directory, or of its parent for
    pascal_voc_seg/tfrecord.
    """
    path = path.resolve()
    return path.parent.name if path.name in ("tfrecord", "tfrecords") else path.name


def find_record_files(folder: pathlib.Path, split: str) -> list[pathlib.Path]:
    """Returns the record files of a split in order; other files of the folder are ignored.

    Raises:
      UserError: if there is no file, a file is missing, or a file belongs to another set.
    """
    numbers = {
        file: (int(match[1]), int(match[2]))
        for file in sorted(folder.glob(f"{glob.escape(split)}-*"))
        if (match := _NUMBERED.fullmatch(file.name[len(split) :]))
    }
    if not numbers:
        raise UserError(f"The record files {folder / split}-* are missing; build the data set again.")
    shards = list(numbers)
    # The metadata of TFDS has the number of files; otherwise the number in most names counts.
    lengths = _shard_lengths(folder, split)
    totals = [total for _, total in numbers.values()]
    total = max(totals, key=totals.count) if lengths is None else len(lengths)
    expected = [folder / f"{split}-{number:05d}-of-{total:05d}.tfrecord" for number in range(total)]
    for file in expected:
        if file not in numbers:
            raise UserError(
                f"The record file {file} is missing: there should be {total} of {split}, and there are {len(shards)}; "
                "put it back, or build the data set again."
            )
    for file in shards:
        if file not in expected:
            raise UserError(
                f"The record file {file} does not belong to {expected[0].name}: there should be {total} of {split}; "
                "remove it, or build the data set again."
            )
    return expected


def require_whole(folder: pathlib.Path, split: str, shards: Sequence[pathlib.Path], count: int) -> None:
    """Compares the record files of a split with the metadata of TFDS, if it exists.

    Args:
      folder: folder of the data set.
      split: name of the split.
      shards: record files of the split, from find_record_files.
      count: number of records of the split in the metadata of this package.

    Raises:
      UserError: if a file has another number of records, or the two metadata differ.
    """
    stored = _stored_split(folder, split)
    lengths = _shard_lengths(folder, split)
    if stored is None or lengths is None:
        return
    if sum(lengths) != count:
        raise UserError(
            f"{folder / TFDS_INFO} says that {split} has {sum(lengths)} records, and the metadata beside it {count}; "
            "build the data set again."
        )
    size = sum(shard.stat().st_size for shard in shards)
    if size == _integer(folder, stored.get("numBytes")) + FRAME_BYTES * count:
        return
    for shard, length in zip(shards, lengths, strict=True):
        found = len(record_offsets(shard))
        if found != length:
            raise UserError(
                f"The record file {shard} holds {found} records, and held {length} when the data set was built; "
                "restore the complete file, or build the data set again."
            )


def _shard_lengths(folder: pathlib.Path, split: str) -> list[int] | None:
    """Returns the number of records of each file in the metadata of TFDS; None if there is no such metadata."""
    stored = _stored_split(folder, split)
    if stored is None:
        return None
    lengths = stored.get("shardLengths")
    if not isinstance(lengths, list) or not lengths:
        raise _damaged(folder)
    return [_integer(folder, length) for length in lengths]


def _stored_split(folder: pathlib.Path, split: str) -> dict[str, Any] | None:
    path = folder / TFDS_INFO
    if not path.exists():
        return None
    value = read_json(path, "data set's description by TFDS")
    splits = value.get("splits") if isinstance(value, dict) else None
    if not isinstance(splits, list) or not all(isinstance(one, dict) for one in splits):
        raise _damaged(folder)
    found: list[dict[str, Any]] = [one for one in splits if one.get("name") == split]
    if len(found) != 1:
        raise _damaged(folder)
    return found[0]


def _integer(folder: pathlib.Path, value: Any) -> int:
    """Returns a number of dataset_info.json, which stores numbers as text."""
    if not isinstance(value, str) or not value.isdecimal() or len(value) > 18:
        raise _damaged(folder)
    return int(value)


def _damaged(folder: pathlib.Path) -> UserError:
    return UserError(f"The data set's description by TFDS {folder / TFDS_INFO} is damaged; build the data set again.")
