"""Own data: a folder of images, a folder of label PNGs with the same names, and a file that names the classes."""

import dataclasses
import functools
import hashlib
import io
import os
import pathlib
import re
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image

from deeplab_dpc.data.dataset_info import Dataset, load_classes
from deeplab_dpc.datasets.segmentation_builder import Classes, SegmentationBuilder, SegmentedImage, prepare
from deeplab_dpc.errors import UserError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
LABEL_SUFFIXES = (".png",)
LABEL_FORMATS = ("ids", "palette")

# How Pillow reports that a file is not what it should be.
_UNDECODABLE = (OSError, SyntaxError, ValueError, EOFError, IndexError, Image.DecompressionBombError)

# Where a PNG's header says how its samples are stored, and what the values mean (PNG specification, 11.2.2).
_PNG_BIT_DEPTH, _PNG_COLOR_TYPE = 24, 25
_GREY, _INDEXED = 0, 3


@dataclasses.dataclass(frozen=True)
class _Pair:
    image: pathlib.Path
    label: pathlib.Path


class Folder(SegmentationBuilder):
    """The builder `folder`.

    Args:
      pairs: the files per split, in the order of the records.
      label_format: "ids", or "palette" where the palette indices of colour-mapped labels are the class ids.
      classes: see `SegmentationBuilder`.
      data_dir: see `SegmentationBuilder`.
    """

    name = "folder"

    def __init__(
        self,
        *,
        data_dir: str | os.PathLike[str],
        classes: Classes,
        pairs: dict[str, list[_Pair]],
        label_format: str,
    ):
        self._pairs = pairs
        self._label_format = label_format
        super().__init__(data_dir=data_dir, classes=classes)

    def split_sizes(self) -> dict[str, int]:
        return {split: len(pairs) for split, pairs in self._pairs.items()}

    def segmented_images(self, split: str) -> Iterator[SegmentedImage]:
        for pair in self._pairs[split]:
            yield _read_pair(pair, self._classes, self._label_format)


def build_folder(
    images: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    classes: str | os.PathLike[str],
    data_dir: str | os.PathLike[str],
    val_fraction: float = 0.2,
    label_format: str = "ids",
    overwrite: bool = False,
) -> Dataset:
    """Builds the data set `folder`.

    Args:
      images: folder of .jpg, .jpeg and .png files. Its sub-folders, if any, are the splits; without them the val split
        is drawn by a hash of the names.
      labels: folder of .png files with the images' names, in the same sub-folders.
      classes: classes file, see `load_classes`.
      data_dir: where data sets are written.
      val_fraction: share of the images in val, in (0, 1), where there are no sub-folders.
      label_format: "ids" for single-channel class ids, "palette" if the palette indices of the labels are the ids.
      overwrite: whether to replace a data set that was made from other inputs.

    Raises:
      UserError: for the first thing that is wrong with the inputs.
    """
    if not 0 < val_fraction < 1:
        raise UserError(f"--val_fraction must be between 0 and 1, got {val_fraction}.")
    if label_format not in LABEL_FORMATS:
        raise UserError(f"--label_format must be one of {', '.join(LABEL_FORMATS)}, got {label_format!r}.")
    meaning = Classes(*load_classes(classes))
    pairs = _find_pairs(pathlib.Path(images), pathlib.Path(labels), val_fraction)
    inputs = {
        "classes": dataclasses.asdict(meaning),
        "label_format": label_format,
        "files": {split: [_identity(pair) for pair in split_pairs] for split, split_pairs in pairs.items()},
    }
    make_builder = functools.partial(_make_builder, meaning, pairs, label_format)
    return prepare(make_builder, Folder.name, data_dir, inputs, overwrite)


def _make_builder(
    classes: Classes, pairs: dict[str, list[_Pair]], label_format: str, data_dir: pathlib.Path
) -> SegmentationBuilder:
    return Folder(data_dir=data_dir, classes=classes, pairs=pairs, label_format=label_format)


def _identity(pair: _Pair) -> list[str | int]:
    """What changes when a pair of files does."""
    image, label = pair.image.stat(), pair.label.stat()
    return [pair.image.name, image.st_size, image.st_mtime_ns, label.st_size, label.st_mtime_ns]


def _find_pairs(images: pathlib.Path, labels: pathlib.Path, val_fraction: float) -> dict[str, list[_Pair]]:
    for flag, folder in (("images", images), ("labels", labels)):
        if not folder.is_dir():
            raise UserError(f"--{flag}={folder} is not a folder.")
    splits = _subfolders(images)
    if not splits:
        pairs = _pair(images, labels)
        in_val = _drawn_for_val([pair.image.stem for pair in pairs], val_fraction)
        split_pairs = {
            "train": [pair for pair in pairs if pair.image.stem not in in_val],
            "val": [pair for pair in pairs if pair.image.stem in in_val],
        }
        return {split: members for split, members in split_pairs.items() if members}
    if loose := _files(images, IMAGE_SUFFIXES):
        raise UserError(
            f"{images} has both sub-folders ({splits[0]}) and images ({loose[0].name}); "
            "put all images into sub-folders, one per split, or none."
        )
    if extra := sorted(set(_subfolders(labels)) - set(splits)):
        raise UserError(f"The folder {labels / extra[0]} has labels for a split without images in {images}.")
    for split in splits:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", split) or split == "all":
            raise UserError(
                f"The folder {images / split} cannot be a split; its name must be letters, digits and _, and not 'all'."
            )
        if not (labels / split).is_dir():
            raise UserError(f"The folder {labels / split} with the labels of {images / split} is missing.")
    return {split: _pair(images / split, labels / split) for split in splits}


def _subfolders(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(folder: pathlib.Path, suffixes: tuple[str, ...]) -> list[pathlib.Path]:
    """The files with one of the suffixes, in the order of their names."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and path.is_file() and not path.name.startswith(".")
    )


def _pair(images: pathlib.Path, labels: pathlib.Path) -> list[_Pair]:
    """Matches images and labels of two folders by their names without the suffix."""
    image_of = _by_stem(_files(images, IMAGE_SUFFIXES))
    label_of = _by_stem(_files(labels, LABEL_SUFFIXES))
    if not image_of:
        raise UserError(f"There is no image ({', '.join(IMAGE_SUFFIXES)}) in {images}.")
    if alone := [path.name for stem, path in image_of.items() if stem not in label_of]:
        raise UserError(f"{_some(alone, 'image')} in {images} without a .png of the same name in {labels}.")
    if alone := [path.name for stem, path in label_of.items() if stem not in image_of]:
        raise UserError(f"{_some(alone, 'label')} in {labels} without an image of the same name in {images}.")
    return [_Pair(image, label_of[stem]) for stem, image in image_of.items()]


def _by_stem(files: Iterable[pathlib.Path]) -> dict[str, pathlib.Path]:
    by_stem: dict[str, pathlib.Path] = {}
    for path in files:
        other = by_stem.setdefault(path.stem, path)
        if other != path:
            raise UserError(f"{other} and {path.name} have the same name but for the suffix; rename or remove one.")
    return by_stem


def _some(names: list[str], noun: str) -> str:
    """The first few names and how many there are: 'a.jpg, b.jpg, c.jpg, ...: 12 images'."""
    listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{listed}: {len(names)} {noun}{'s' if len(names) > 1 else ''}"


def _drawn_for_val(stems: list[str], val_fraction: float) -> set[str]:
    """A share of the names that stays the same when others come or go; one of each split at least, given two names."""
    position = {stem: int.from_bytes(hashlib.sha256(stem.encode()).digest()[:8]) / 2**64 for stem in stems}
    drawn = {stem for stem in stems if position[stem] < val_fraction}
    if len(stems) >= 2:
        drawn |= {min(stems, key=position.__getitem__)}
        drawn -= {max(stems, key=position.__getitem__)}
    return drawn


def _read_pair(pair: _Pair, classes: Classes, label_format: str) -> SegmentedImage:
    """Reads, checks and encodes one example."""
    size, image, image_format = _read_image(pair.image)
    label_size, label = _read_label(pair.label, classes, label_format)
    if size != label_size:
        raise UserError(
            f"{pair.image} is {size[0]} x {size[1]} pixels but its label {pair.label} is "
            f"{label_size[0]} x {label_size[1]}; they must be of the same size."
        )
    width, height = size
    return SegmentedImage(pair.image.name, image, image_format, label, height, width)


def _decode(path: pathlib.Path, formats: tuple[str, ...]) -> tuple[bytes, Image.Image]:
    """A file's bytes and its fully decoded picture."""
    data = path.read_bytes()
    if not data:
        raise UserError(f"The file {path} is empty.")
    try:
        picture = Image.open(io.BytesIO(data), formats=formats)
        picture.load()
    except _UNDECODABLE as error:
        reason = f"not a {' or '.join(formats)} file" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise UserError(f"The file {path} cannot be decoded: {reason}.") from error
    return data, picture


def _read_image(path: pathlib.Path) -> tuple[tuple[int, int], bytes, str]:
    """(width, height), the encoded image and its format; the file's own bytes if it is plain RGB."""
    data, picture = _decode(path, ("JPEG", "PNG"))
    if picture.mode.startswith(("I", "F")):
        raise UserError(f"The image {path} has more than 8 bits per channel; convert it to 8 bits.")
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture.size, data, "png" if picture.format == "PNG" else "jpeg"
    if "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture.size, encode_png(picture.convert("RGB")), "png"


def _read_label(path: pathlib.Path, classes: Classes, label_format: str) -> tuple[tuple[int, int], bytes]:
    """(width, height) and the class ids as a single-channel PNG."""
    data, picture = _decode(path, ("PNG",))
    bit_depth, color_type = data[_PNG_BIT_DEPTH], data[_PNG_COLOR_TYPE]
    if color_type == _INDEXED and label_format != "palette":
        raise UserError(
            f"The label {path} is colour-mapped; give --label_format=palette if its palette indices are the class ids."
        )
    if color_type not in (_GREY, _INDEXED):
        raise UserError(
            f"The label {path} is a colour picture ({picture.mode}); labels must have a single channel of class ids."
        )
    if color_type == _GREY and bit_depth != 8:
        raise UserError(f"The label {path} has {bit_depth} bits per pixel; labels must have 8.")
    ids = np.asarray(picture)
    present = np.unique(ids)
    wrong = present[(present >= len(classes.names)) & (present != classes.ignore_label)]
    if wrong.size:
        listed = ", ".join(map(str, wrong[:5])) + (", ..." if wrong.size > 5 else "")
        raise UserError(
            f"The label {path} has the ids {listed}, but there are {len(classes.names)} classes "
            f"(ids 0 to {len(classes.names) - 1}) and the ignore label is {classes.ignore_label}."
        )
    return picture.size, data if color_type == _GREY else encode_png(Image.fromarray(ids))


def encode_png(picture: Image.Image) -> bytes:
    """The picture as the bytes of a PNG file."""
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
