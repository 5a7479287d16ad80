"""Contents (classes, colours, splits) and location of a prepared data set, and the default crop of a training on it.

Needs no TensorFlow.
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from deeplab_dpc.arch.fitting import aligned_side
from deeplab_dpc.data.class_rules import check_categories, check_names, check_palette, is_byte
from deeplab_dpc.data.record_files import find_record_files, require_whole
from deeplab_dpc.data.record_index import RecordIndex, index_records, joined
from deeplab_dpc.data.split_parts import Part, split_parts
from deeplab_dpc.errors import UserError, shown
from deeplab_dpc.files import read_json

INFO_FILE = "segmentation_info.json"
RECORD_FILES = "record_files"  # key in that file, for records of other software: the record files that were counted
DEFAULT_IGNORE_LABEL = 255

Color = tuple[int, int, int]
MAX_DEFAULT_CROP = 321  # pixels; trained by two CPU cores in a reasonable time. The papers use 513 and 769.


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """The metadata of a prepared data set.

    Attributes:
      name: the data set's name, also the name of its directory.
      class_names: one name per class id.
      palette: (red, green, blue) per class id, each in 0..255.
      ignore_label: id of pixels that count neither in training nor in evaluation.
      splits: number of examples per split.
      max_size: largest height and largest width per split, in pixels (not necessarily of one image).
      unlabelled: splits whose images have no labels.
      categories: group of each class (Cityscapes has 7 for 19 classes), empty text for none; () without groups.
      allow_absent_classes: bool, whether a class may never occur although pixels are ignored. Otherwise this is an
        error, because masks of 0 and 255 in which 255 is meant as a class look the same.
    """

    name: str
    class_names: tuple[str, ...]
    palette: tuple[Color, ...]
    ignore_label: int
    splits: dict[str, int]
    max_size: dict[str, tuple[int, int]]
    unlabelled: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    allow_absent_classes: bool = False

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def labelled_splits(self) -> tuple[str, ...]:
        """Returns the splits whose images have labels."""
        return tuple(name for name in self.splits if name not in self.unlabelled)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Returns the metadata of a value of `to_json`; also accepts the lists that JSON makes of tuples.

        Raises:
          UserError: if a field is missing or invalid.
        """
        where = "The metadata of the data set"
        if not isinstance(value, dict):
            raise UserError(f"{where} must be an object, got {shown(value)}.")
        if missing := [name for name in _REQUIRED if name not in value]:
            raise UserError(f"{where} lacks {missing[0]!r}.")
        names, splits, max_size = value["class_names"], value["splits"], value["max_size"]
        unlabelled, categories = value.get("unlabelled", ()), value.get("categories", ())
        allow_absent = value.get("allow_absent_classes", False)
        check_names(names, where)
        check_palette(value["palette"], len(names), "the metadata of the data set")
        check_categories(categories, len(names), "the metadata of the data set")
        for name, valid in (
            ("name", isinstance(value["name"], str)),
            ("ignore_label", is_byte(value["ignore_label"])),
            ("splits", isinstance(splits, dict) and all(_is_count(count) for count in splits.values())),
            ("max_size", isinstance(max_size, dict) and all(map(_is_size, max_size.values()))),
            ("unlabelled", isinstance(unlabelled, list | tuple) and _all_in(unlabelled, splits)),
            ("allow_absent_classes", isinstance(allow_absent, bool)),
        ):
            if not valid:
                raise UserError(f"{where} has the wrong {name!r}: {shown(value.get(name))}.")
        return cls(
            name=value["name"],
            class_names=tuple(names),
            palette=tuple(_color(entry) for entry in value["palette"]),
            ignore_label=value["ignore_label"],
            splits=dict(splits),
            max_size={split: (height, width) for split, (height, width) in max_size.items()},
            unlabelled=tuple(unlabelled),
            categories=tuple(categories),
            allow_absent_classes=allow_absent,
        )


_REQUIRED = ("name", "class_names", "palette", "ignore_label", "splits", "max_size")


def _all_in(names: Sequence[Any], splits: Any) -> bool:
    return isinstance(splits, dict) and all(isinstance(name, str) and name in splits for name in names)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_size(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_count, value))


def pascal_palette(num_classes: int) -> tuple[Color, ...]:
    """Returns the PASCAL VOC colour map, which spreads the bits of the class id over the high bits of red, green and
    blue.
    """
    colors = []
    for class_id in range(num_classes):
        color = [0, 0, 0]
        for triple in range(8):
            for channel in range(3):
                bit = class_id >> (3 * triple + channel) & 1
                color[channel] |= bit << (7 - triple)
        colors.append(_color(color))
    return tuple(colors)


def _color(entry: Any) -> Color:
    red, green, blue = entry
    return red, green, blue


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A prepared data set on disk.

    Attributes:
      path: directory of the records and the metadata.
      info: metadata of the data set.
    """

    path: pathlib.Path
    info: DatasetInfo

    def parts(self, split: str) -> tuple[Part, ...]:
        """Returns the splits that `split` names: one, or several that are read as one (`split_parts`)."""
        return split_parts(split, self.info.splits, str(self.path))

    def num_images(self, split: str) -> int:
        """Returns the number of images of a split, or of several splits, each image counted once."""
        return sum(self.info.splits[part.split] for part in self.parts(split))

    def max_size(self, split: str) -> tuple[int, int]:
        """Returns the largest height and the largest width of a split's images, or of several splits', in pixels."""
        heights, widths = zip(*(self.info.max_size[part.split] for part in self.parts(split)), strict=True)
        return max(heights), max(widths)

    def epoch(self, split: str) -> npt.NDArray[np.int32]:
        """Returns the records of an epoch of training as positions in `index`, some of them repeated."""
        parts, places, start = self.parts(split), [], 0
        for part in parts:
            count = self.info.splits[part.split]
            places.append(np.tile(np.arange(start, start + count, dtype=np.int32), part.repeats))
            start += count
        return np.concatenate(places)

    def shards(self, split: str) -> list[pathlib.Path]:
        """Returns the record files of a split, or of several splits one after another, in order.

        Raises:
          UserError: if there is no such split, or a file is missing, cut off or superfluous.
        """
        found: list[pathlib.Path] = []
        for part in self.parts(split):
            shards = find_record_files(self.path, part.split)
            require_whole(self.path, part.split, shards, self.info.splits[part.split])
            found += shards
        return found

    def record_files(self, split: str) -> list[pathlib.Path]:
        """Returns the record files of a split without checking their contents."""
        return [file for part in self.parts(split) for file in find_record_files(self.path, part.split)]

    def index(self, split: str) -> RecordIndex:
        """Returns the positions of the records of a split, or of several splits, in the record files.

        Raises:
          UserError: as `shards`, or if the number of records differs from the metadata.
        """
        found = []
        for part in self.parts(split):
            index, count = index_records(self.shards(part.split)), self.info.splits[part.split]
            if len(index) != count:
                raise UserError(
                    f"The record files {self.path / part.split}-* hold {len(index)} records, and the metadata beside "
                    f"them says {count}; restore the complete files, or build the data set again."
                )
            found.append(index)
        return joined(found)

    def require_labels(self, split: str) -> None:
        """Raises a UserError if the images of the split have no labels, or there is no such split."""
        self.shards(split)
        for part in self.parts(split):
            if part.split in self.info.unlabelled:
                labelled = ", ".join(self.info.labelled_splits)
                raise UserError(
                    f"The split {part.split} of {self.path} has no labels, so it can only be predicted; "
                    f"splits with labels: {labelled or 'none'}."
                )

    def fingerprint(self, split: str) -> str:
        """Returns the SHA-256 of the names and the contents of the record files of a split."""
        digest = hashlib.sha256()
        for shard in self.shards(split):
            digest.update(shard.name.encode())
            with open(shard, "rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()


def load_dataset(path: str | os.PathLike[str]) -> Dataset:
    """Loads a prepared data set.

    Args:
      path: folder that contains the metadata file directly.

    Raises:
      UserError: if the metadata file is absent, damaged or invalid.
    """
    info_path = pathlib.Path(path) / INFO_FILE
    value = read_json(info_path, "data set's metadata")
    try:
        return Dataset(info_path.parent, DatasetInfo.from_json(value))
    except UserError as error:
        reason = str(error).removeprefix("The metadata of the data set ").rstrip(".")
        raise UserError(f"The data set's metadata {info_path} {reason}; build the data set again.") from error


def default_crop(dataset: Dataset, split: str, alignment: int) -> tuple[int, int]:
    """Returns (height, width): the largest sides of a split, limited to MAX_DEFAULT_CROP, rounded up to
    alignment * k + 1.
    """
    height, width = (aligned_side(min(side, MAX_DEFAULT_CROP), alignment) for side in dataset.max_size(split))
    return height, width
