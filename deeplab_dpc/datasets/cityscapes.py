"""Cityscapes (Cordts et al., 2016, arXiv:1604.01685): fine train, val and test, and the coarse train_extra.

The files are those of the official zips, unpacked or as downloaded: FOLDER/SPLIT/CITY/CITY_SEQ_FRAME_SUFFIX.png.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterable

import numpy as np

from deeplab_dpc.console import console
from deeplab_dpc.data.cityscapes_labels import CLASSES, TRAIN_ID_OF_LABEL_ID
from deeplab_dpc.data.dataset_info import DEFAULT_IGNORE_LABEL, Dataset
from deeplab_dpc.datasets.label_pictures import read_label
from deeplab_dpc.datasets.pictures import remap_ids
from deeplab_dpc.datasets.raw_files import RawFiles, open_raw
from deeplab_dpc.datasets.records import RawExample, build_records
from deeplab_dpc.datasets.segmentation_builder import Classes
from deeplab_dpc.errors import UserError, first_few

NAME = "cityscapes"
DOWNLOAD_PAGE = "https://www.cityscapes-dataset.com/downloads/"


@dataclasses.dataclass(frozen=True)
class _Package:
    """An official zip file, or its unpacked folder.

    Attributes:
      archive: file name on the download page.
      folder: folder in it that contains the splits.
      suffix: end of the names of the files that are used, after CITY_SEQ_FRAME.
    """

    archive: str
    folder: str
    suffix: str


_IMAGES = _Package("leftImg8bit_trainvaltest.zip", "leftImg8bit", "_leftImg8bit.png")
_EXTRA_IMAGES = _Package("leftImg8bit_trainextra.zip", "leftImg8bit", "_leftImg8bit.png")
_FINE_LABELS = _Package("gtFine_trainvaltest.zip", "gtFine", "_gtFine_labelIds.png")
_COARSE_LABELS = _Package("gtCoarse.zip", "gtCoarse", "_gtCoarse_labelIds.png")

# The download page says that this image of train_extra is "corrupt/black" and offers no other.
CORRUPT = "troisdorf/troisdorf_000000_000073"


@dataclasses.dataclass(frozen=True)
class _Split:
    """The official packages and the size of a split.

    Attributes:
      images: package with the images.
      labels: package with the labels; None for test, whose official label files are dummies.
      size: official number of images, without the corrupt one.
    """

    images: _Package
    labels: _Package | None
    size: int


SPLITS = {
    "train": _Split(_IMAGES, _FINE_LABELS, 2975),
    "val": _Split(_IMAGES, _FINE_LABELS, 500),
    "test": _Split(_IMAGES, None, 1525),
    "train_extra": _Split(_EXTRA_IMAGES, _COARSE_LABELS, 19997),
}
COARSE_SPLIT = "train_extra"


@dataclasses.dataclass(frozen=True)
class _Files:
    """The files of a split in one package.

    Attributes:
      raw: folder or zip file that contains them.
      name_of: paths of the files in it, by CITY/CITY_SEQ_FRAME, sorted.
    """

    raw: RawFiles
    name_of: dict[str, str]

    def read(self, key: str) -> tuple[bytes, str]:
        """Returns a file's contents and its name in messages."""
        name = self.name_of[key]
        return self.raw.read(name), self.raw.title(name)

    def read_train_ids(self, key: str) -> tuple[np.ndarray, str]:
        """Returns a label's train ids, uint8 [height, width], and its name in messages."""
        data, title = self.read(key)
        label = read_label(data, title)
        if label.kind != "grey":
            raise UserError(
                f"The label {title} has {label.kind} pixels, but a labelIds.png of Cityscapes is grey; "
                f"take the file as {DOWNLOAD_PAGE} offers it."
            )
        return remap_ids(label.values, TRAIN_ID_OF_LABEL_ID, DEFAULT_IGNORE_LABEL), title

    def identity(self, key: str) -> list[int]:
        return self.raw.identity(self.name_of[key])

    def without(self, key: str) -> "_Files":
        return _Files(self.raw, {other: name for other, name in self.name_of.items() if other != key})


def build_cityscapes(
    cityscapes_root: str | os.PathLike[str],
    data_dir: str | os.PathLike[str],
    coarse: bool = False,
    overwrite: bool = False,
    skip_bad: bool = False,
) -> Dataset:
    """Builds the data set `cityscapes`: 19 classes, everything else ignored; the test split has no labels.

    A split without any image is left out. A message is printed for such a split, and for a number of images that
    differs from the official one.

    Args:
      cityscapes_root: folder with leftImg8bit, gtFine and gtCoarse, or with the official zips.
      data_dir: directory in which data sets are written.
      coarse: bool, whether to add the split train_extra, with its coarse labels.
      overwrite: bool, whether to replace a data set that was made from other inputs.
      skip_bad: bool, whether images and labels that cannot be used are left out.

    Raises:
      UserError: if files are missing, an image or a label is without its counterpart, or one cannot be used.
    """
    root = pathlib.Path(cityscapes_root)
    if not root.is_dir():
        raise UserError(f"--cityscapes_root={root} is not a folder; it must hold the files of {DOWNLOAD_PAGE}.")
    with contextlib.ExitStack() as stack:
        open_once = functools.cache(lambda path: stack.enter_context(open_raw(path)))
        examples = {split: _examples(root, split, open_once) for split in SPLITS if coarse or split != COARSE_SPLIT}
        if not any(examples.values()):
            raise _missing(root, "train", _IMAGES)
        if coarse and not examples[COARSE_SPLIT]:
            raise _missing(root, COARSE_SPLIT, _EXTRA_IMAGES)
        for split, members in examples.items():
            _note_size(root, split, len(members))
        classes = Classes(
            tuple(row.name for row in CLASSES),
            tuple(row.color for row in CLASSES),
            DEFAULT_IGNORE_LABEL,
            tuple(row.category for row in CLASSES),
        )
        return build_records(NAME, classes, examples, data_dir, overwrite, skip_bad)


def _examples(root: pathlib.Path, split: str, open_once: Callable[[pathlib.Path], RawFiles]) -> list[RawExample]:
    """Returns the examples of a split, sorted by cities and images; none if it has no images."""
    packages = SPLITS[split]
    images = _find(root, split, packages.images, open_once)
    if images is None:
        return []
    if CORRUPT in images.name_of:
        console.print(f"{images.raw.title(images.name_of[CORRUPT])} is left out: it is known to be black.")
    images = images.without(CORRUPT)
    if packages.labels is None:
        return [_example(images, None, key) for key in images.name_of]
    labels = _find(root, split, packages.labels, open_once)
    if labels is None:
        raise _missing(root, split, packages.labels)
    labels = labels.without(CORRUPT)
    _check_pairs(split, images, packages.images, labels, packages.labels)
    return [_example(images, labels, key) for key in images.name_of]


def _example(images: _Files, labels: _Files | None, key: str) -> RawExample:
    return RawExample(
        filename=images.name_of[key].rpartition("/")[2],
        image=functools.partial(images.read, key),
        label=functools.partial(labels.read_train_ids, key) if labels else None,
        identity=[*images.identity(key), *(labels.identity(key) if labels else [])],
    )


def _find(
    root: pathlib.Path, split: str, package: _Package, open_once: Callable[[pathlib.Path], RawFiles]
) -> _Files | None:
    """Returns the files of a split in its unpacked folder, or otherwise in the zip; None if there are none."""
    folder, archive = root / package.folder / split, root / package.archive
    if folder.is_dir():
        raw, prefix = open_once(folder), ""  # not the root, which may hold many more files
    elif archive.is_file():
        raw, prefix = open_once(archive), f"{package.folder}/{split}/"
    else:
        return None
    found = (name for name in raw.below(prefix) if name.endswith(package.suffix))
    keys = {name.removeprefix(prefix).removesuffix(package.suffix): name for name in found}
    return _Files(raw, dict(sorted(keys.items()))) if keys else None


def _check_pairs(split: str, images: _Files, image_package: _Package, labels: _Files, label_package: _Package) -> None:
    """Raises a UserError if an image has no label or a label no image."""
    if alone := [key for key in images.name_of if key not in labels.name_of]:
        names = _some(alone, image_package.suffix, "image")
        raise UserError(f"{names} of the split {split} without a {label_package.suffix[1:]} in {labels.raw.path}.")
    if alone := [key for key in labels.name_of if key not in images.name_of]:
        names = _some(alone, label_package.suffix, "label")
        raise UserError(f"{names} of the split {split} without a {image_package.suffix[1:]} in {images.raw.path}.")


def _some(keys: Iterable[str], suffix: str, noun: str) -> str:
    """Returns the names of the first three files and the total number, as text."""
    names = [key + suffix for key in keys]
    listed = first_few(names, 3)
    return f"{listed}: {len(names)} {noun}{'s' if len(names) > 1 else ''}"


def _missing(root: pathlib.Path, split: str, package: _Package) -> UserError:
    return UserError(
        f"There are no files *{package.suffix} of the split {split} in {root / package.folder / split} or "
        f"{root / package.archive}; get {package.archive} from {DOWNLOAD_PAGE} (after registration) and put it into "
        "--cityscapes_root, packed or unpacked."
    )


def _note_size(root: pathlib.Path, split: str, size: int) -> None:
    """Prints a message if a split does not have its official size."""
    if not size:
        console.print(f"There are no images of the split {split} in {root}; it is left out.")
    elif size != SPLITS[split].size:
        console.print(f"The split {split} in {root} has {size} images; the official one has {SPLITS[split].size}.")
