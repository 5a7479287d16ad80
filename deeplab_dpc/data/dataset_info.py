"""What a prepared data set holds (classes, colours, splits) and where it lies. Needs no TensorFlow."""

import dataclasses
import hashlib
import os
import pathlib
from typing import Any, Self

from deeplab_dpc.errors import UserError
from deeplab_dpc.files import read_json

INFO_FILE = "segmentation_info.json"
MAX_CLASSES = 256  # labels are 8-bit
DEFAULT_IGNORE_LABEL = 255

Color = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """The facts about a prepared data set.

    Attributes:
      name: the data set's name, also the name of its directory.
      class_names: one name per class id.
      palette: (red, green, blue) per class id, each in 0..255.
      ignore_label: the id of pixels that count neither in training nor in evaluation.
      splits: examples per split.
      max_size: largest height and largest width per split, in pixels (not necessarily of one image).
      unlabelled: the splits whose images have no labels.
      categories: the group of each class (Cityscapes has 7 of 19 classes), empty text for none; () without groups.
    """

    name: str
    class_names: tuple[str, ...]
    palette: tuple[Color, ...]
    ignore_label: int
    splits: dict[str, int]
    max_size: dict[str, tuple[int, int]]
    unlabelled: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def labelled_splits(self) -> tuple[str, ...]:
        """The splits whose images have labels."""
        return tuple(name for name in self.splits if name not in self.unlabelled)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of `to_json`; also takes the lists that JSON makes of tuples."""
        return cls(
            name=value["name"],
            class_names=tuple(value["class_names"]),
            palette=tuple(_color(entry) for entry in value["palette"]),
            ignore_label=value["ignore_label"],
            splits=dict(value["splits"]),
            max_size={split: (height, width) for split, (height, width) in value["max_size"].items()},
            unlabelled=tuple(value.get("unlabelled", ())),
            categories=tuple(value.get("categories", ())),
        )


def pascal_palette(num_classes: int) -> tuple[Color, ...]:
    """The PASCAL VOC colour map: the bits of the class id, spread over the high bits of red, green and blue."""
    colors = []
    for class_id in range(num_classes):
        color = [0, 0, 0]
        for triple in range(8):
            for channel in range(3):
                bit = class_id >> (3 * triple + channel) & 1
                color[channel] |= bit << (7 - triple)
        colors.append(_color(color))
    return tuple(colors)


@dataclasses.dataclass(frozen=True)
class ClassesFile:
    """What a classes file says.

    Attributes:
      names: one per class id.
      palette: the colour of each class, the PASCAL VOC colours where the file has none.
      ignore_label: the id of ignored pixels.
      ignore_color: their colour in RGB labels, if they have one.
      has_palette: whether the palette is the file's own.
      categories: the group of each class, empty text for none; () where the file has no groups.
    """

    names: tuple[str, ...]
    palette: tuple[Color, ...]
    ignore_label: int
    ignore_color: Color | None
    has_palette: bool
    categories: tuple[str, ...] = ()


def load_classes(path: str | os.PathLike[str]) -> tuple[tuple[str, ...], tuple[Color, ...], int]:
    """The class names, the palette and the ignore label of a classes file, see `read_classes_file`."""
    found = read_classes_file(path)
    return found.names, found.palette, found.ignore_label


def read_classes_file(path: str | os.PathLike[str]) -> ClassesFile:
    """Reads a classes file.

    Args:
      path: JSON, either a list of class names or {"classes": [names], "palette": [[r, g, b], ...],
        "ignore_label": id, "ignore_color": [r, g, b], "categories": [the group of each class, "" for none]}; all but
        the first are optional (the PASCAL VOC colours, 255, none, none).

    Raises:
      UserError: if the file cannot be read or breaks one of these rules.
    """
    value = read_json(path, "classes file")
    if isinstance(value, list):
        value = {"classes": value}
    if not isinstance(value, dict) or "classes" not in value:
        raise UserError(f'The classes file {path} must be a list of names or an object with the key "classes".')
    unknown = sorted(set(value) - {"classes", "palette", "ignore_label", "ignore_color", "categories"})
    if unknown:
        raise UserError(
            f"The classes file {path} has the unknown key {unknown[0]!r}; known are classes, palette, ignore_label, "
            "ignore_color and categories."
        )
    names = value["classes"]
    _check_names(names, path)
    palette = value.get("palette")
    if palette is None:
        colors = pascal_palette(len(names))
    else:
        _check_palette(palette, len(names), path)
        colors = tuple(_color(entry) for entry in palette)
    ignore_label = value.get("ignore_label", DEFAULT_IGNORE_LABEL)
    if not _is_byte(ignore_label):
        raise UserError(f"`ignore_label` in the classes file {path} must be an integer in 0..255, got {ignore_label}.")
    ignore_color = value.get("ignore_color")
    if ignore_color is not None and not _is_color(ignore_color):
        raise UserError(f"`ignore_color` in the classes file {path} must be [red, green, blue], got {ignore_color}.")
    categories = value.get("categories", [])
    _check_categories(categories, len(names), path)
    return ClassesFile(
        tuple(names),
        colors,
        ignore_label,
        ignore_color and _color(ignore_color),
        has_palette=palette is not None,
        categories=tuple(categories),
    )


def _check_names(names: Any, path: str | os.PathLike[str]) -> None:
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise UserError(f"`classes` in the classes file {path} must be a list of one or more non-empty names.")
    if len(names) > MAX_CLASSES:
        raise UserError(f"The classes file {path} has {len(names)} classes; at most {MAX_CLASSES} fit 8-bit labels.")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UserError(f"The classes file {path} has the class {repeated[0]!r} more than once.")


def _check_palette(palette: Any, num_classes: int, path: str | os.PathLike[str]) -> None:
    if not isinstance(palette, list) or len(palette) != num_classes:
        count = len(palette) if isinstance(palette, list) else "none"
        raise UserError(
            f"`palette` in the classes file {path} must have one colour per class: {num_classes}, got {count}."
        )
    for entry in palette:
        if not _is_color(entry):
            raise UserError(
                f"`palette` in the classes file {path} must hold [red, green, blue] of integers in 0..255, got {entry}."
            )


def _check_categories(categories: Any, num_classes: int, path: str | os.PathLike[str]) -> None:
    valid = isinstance(categories, list) and all(isinstance(name, str) for name in categories)
    if not valid or len(categories) not in (0, num_classes):
        raise UserError(
            f'`categories` in the classes file {path} must be a list of one group name per class ("" for none), '
            f"{num_classes} in all, got {categories}."
        )


def _is_byte(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


def _is_color(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_is_byte, value))


def _color(entry: Any) -> Color:
    red, green, blue = entry
    return red, green, blue


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A prepared data set on disk.

    Attributes:
      path: the directory with its records and its metadata.
      info: what the metadata says.
    """

    path: pathlib.Path
    info: DatasetInfo

    def shards(self, split: str) -> list[pathlib.Path]:
        """The record files of a split, in order.

        Raises:
          UserError: if there is no such split or its files are missing.
        """
        if split not in self.info.splits:
            splits = ", ".join(self.info.splits)
            raise UserError(f"The data set in {self.path} has no split {split!r}; its splits are {splits}.")
        shards = sorted(self.path.glob(f"{split}-[0-9]*"))
        if not shards:
            raise UserError(f"The record files {self.path / split}-* are missing; build the data set again.")
        return shards

    def require_labels(self, split: str) -> None:
        """Raises a UserError if the images of the split have no labels, or there is no such split."""
        self.shards(split)
        if split in self.info.unlabelled:
            labelled = ", ".join(self.info.labelled_splits)
            raise UserError(
                f"The split {split} of {self.path} has no labels, so it can only be predicted; "
                f"splits with labels: {labelled or 'none'}."
            )

    def fingerprint(self, split: str) -> str:
        """SHA-256 over the names and the contents of the record files of a split."""
        digest = hashlib.sha256()
        for shard in self.shards(split):
            digest.update(shard.name.encode())
            with open(shard, "rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()


def load_dataset(path: str | os.PathLike[str]) -> Dataset:
    """Loads the prepared data set whose metadata file lies directly in `path`."""
    info_path = pathlib.Path(path) / INFO_FILE
    value = read_json(info_path, "data set's metadata")
    try:
        return Dataset(info_path.parent, DatasetInfo.from_json(value))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"The data set's metadata {info_path} is incomplete; build the data set again.") from error
