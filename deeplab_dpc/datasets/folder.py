"""Own data: images, label PNGs with the same names or a list of both, and a file that names the classes."""

import contextlib
import dataclasses
import functools
import os
import pathlib

import numpy as np

from deeplab_dpc.data.classes_file import read_classes_file
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.datasets.label_ids import LabelReader, read_label_map
from deeplab_dpc.datasets.pair_list import read_pair_list
from deeplab_dpc.datasets.pairing import Pair, find_pairs
from deeplab_dpc.datasets.raw_files import RawFiles, open_raw
from deeplab_dpc.datasets.records import RawExample, build_records
from deeplab_dpc.datasets.segmentation_builder import Classes
from deeplab_dpc.errors import UserError

NAME = "folder"

_Path = str | os.PathLike[str]


def build_folder(
    images: _Path | None,
    labels: _Path | None,
    classes: _Path,
    data_dir: _Path,
    val_fraction: float = 0.2,
    label_format: str = "ids",
    overwrite: bool = False,
    *,
    pair_list: _Path | None = None,
    label_map: _Path | None = None,
    skip_bad: bool = False,
) -> Dataset:
    """Builds the data set `folder`.

    Args:
      images: folder, zip or tar file of JPEG, PNG, BMP, TIFF or WebP files, see `find_pairs`; with a list, what its
        images are relative to (the list's folder if None).
      labels: the same for lossless labels with the images' names; None if there are none, or with a list.
      classes: classes file, see `read_classes_file`.
      data_dir: where data sets are written.
      val_fraction: share of the images in val, in (0, 1), where nothing says which split they are in.
      label_format: what the labels' pixels are, see `LabelReader`.
      overwrite: whether to replace a data set that was made from other inputs.
      pair_list: CSV or TXT file of images, labels and splits, see `read_pair_list`; None goes by folders and names.
      label_map: class ids by raw ids, see `read_label_map`; None takes ids as they are.
      skip_bad: whether images and labels that cannot be used are left out, instead of ending the conversion.

    Raises:
      UserError: for the first thing that is wrong with the inputs.
    """
    if not 0 < val_fraction < 1:
        raise UserError(f"--val_fraction must be between 0 and 1, got {val_fraction}.")
    meaning = read_classes_file(classes)
    reader = LabelReader(meaning, label_format, read_label_map(label_map, meaning) if label_map else None)
    # What a list names is relative to its own folder where no other is given.
    list_folder = pathlib.Path(pair_list).absolute().parent if pair_list is not None else None
    image_place, label_place = images or list_folder, labels or list_folder
    if image_place is None:
        raise UserError("--images or --list is required.")
    with contextlib.ExitStack() as stack:
        raw_images = stack.enter_context(_open("images", image_place))
        raw_labels = stack.enter_context(_open("labels", label_place)) if label_place is not None else None
        if pair_list is not None and raw_labels is not None:
            splits = read_pair_list(pair_list, raw_images, raw_labels, val_fraction)
        else:
            splits = find_pairs(raw_images, raw_labels, val_fraction, skip_bad)
        examples = {
            split: [_example(pair, raw_images, raw_labels, reader) for pair in pairs] for split, pairs in splits.items()
        }
        ids = Classes.from_file(meaning)
        if reader.says_what_is_ignored:
            ids = dataclasses.replace(ids, allow_absent_classes=True)
        return build_records(NAME, ids, examples, data_dir, overwrite, skip_bad)


def _open(flag: str, path: _Path) -> RawFiles:
    if str(path).lower().endswith(".json"):
        raise UserError(
            f"--{flag}={path} is a JSON file; annotations in COCO's layout are converted with python "
            "datasets/build_coco.py --train_annotations=FILE --train_images=FOLDER."
        )
    try:
        return open_raw(path)
    except UserError as error:
        raise UserError(f"--{flag}: {error}") from error


def _example(pair: Pair, images: RawFiles, labels: RawFiles | None, reader: LabelReader) -> RawExample:
    image = functools.partial(_read_image, images, pair.image)
    identity = [pair.image, *images.identity(pair.image)]
    if labels is None or pair.label is None:
        return RawExample(pair.name, image, None, identity)
    label = functools.partial(_read_label, reader, labels, pair.label)
    return RawExample(pair.name, image, label, [*identity, *labels.identity(pair.label), *reader.identity()])


def _read_image(images: RawFiles, name: str) -> tuple[bytes, str]:
    return images.read(name), images.title(name)


def _read_label(reader: LabelReader, labels: RawFiles, name: str) -> tuple[np.ndarray, str]:
    title = labels.title(name)
    return reader.read(labels.read(name), title), title
