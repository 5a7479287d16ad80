"""The user's data: images with label pictures of the same names, a list of both, or annotations, and the classes."""

import contextlib
import dataclasses
import functools
import os
import pathlib

import numpy as np

from deeplab_dpc.data.classes_file import read_classes_file
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.datasets.annotated import annotated_examples
from deeplab_dpc.datasets.annotation_kinds import AUTO, PICTURES, SUFFIXES, annotation_kind
from deeplab_dpc.datasets.label_ids import LabelReader, read_label_map
from deeplab_dpc.datasets.pair_list import read_pair_list
from deeplab_dpc.datasets.pairing import find_pairs
from deeplab_dpc.datasets.raw_files import RawFiles, open_raw
from deeplab_dpc.datasets.records import RawExample, build_records
from deeplab_dpc.datasets.segmentation_builder import Classes
from deeplab_dpc.datasets.splits import Pair, ValDraw
from deeplab_dpc.errors import UserError

NAME = "folder"

_Path = str | os.PathLike[str]


def build_folder(
    images: _Path | None,
    labels: _Path | None,
    classes: _Path | None,
    data_dir: _Path,
    val_fraction: float = 0.2,
    label_format: str = "ids",
    overwrite: bool = False,
    *,
    pair_list: _Path | None = None,
    label_map: _Path | None = None,
    skip_bad: bool = False,
    labels_as: str = AUTO,
    group_by: str | None = None,
) -> Dataset:
    """Builds the data set `folder`.

    Args:
      images: folder, zip or tar file of JPEG, PNG, BMP, TIFF or WebP files, see `find_pairs`; with a list, the folder
        or archive to which its images are relative (the list's folder if None).
      labels: folder, zip or tar file of lossless labels with the images' names, or a folder, archive or file of
        annotations; None if there are none, or with a list.
      classes: classes file, see `read_classes_file`; None takes the classes that annotations name.
      data_dir: directory in which data sets are written.
      val_fraction, group_by: draw of val, see `ValDraw`; used if nothing else defines the splits.
      label_format: meaning of the labels' pixels, see `LabelReader`.
      overwrite: bool, whether to replace a data set that was made from other inputs.
      pair_list: CSV or TXT file of images, labels and splits, see `read_pair_list`; None matches by folders and names.
      label_map: class ids by raw ids, see `read_label_map`; None leaves ids unchanged.
      skip_bad: bool, whether unusable images and labels are left out; otherwise they end the conversion.
      labels_as: kind of `labels`, see `annotation_kind`.

    Raises:
      UserError: for the first error in the inputs.
    """
    draw = ValDraw(val_fraction, group_by)
    # The paths in a list are relative to its own folder if no other folder is given.
    list_folder = pathlib.Path(pair_list).absolute().parent if pair_list is not None else None
    image_place, label_place = images or list_folder, labels or list_folder
    if image_place is None:
        raise UserError("--images or --list is required.")
    with contextlib.ExitStack() as stack:
        raw_images = stack.enter_context(_open("images", image_place))
        raw_labels, only = _open_labels(label_place, stack) if label_place is not None else (None, None)
        kind = PICTURES
        if raw_labels is not None and pair_list is None:
            kind = annotation_kind(raw_labels, labels_as, os.path.samefile(raw_images.path, raw_labels.path), only)
        if kind != PICTURES and raw_labels is not None:
            if label_map is not None or label_format != "ids":
                flag = "label_map" if label_map is not None else "label_format"
                raise UserError(f"--{flag} is for label pictures, and --labels={labels} are annotations ({kind}).")
            given = read_classes_file(classes) if classes is not None else None
            found = annotated_examples(kind, raw_images, raw_labels, given, draw, skip_bad, only)
            return build_records(NAME, *found, data_dir, overwrite, skip_bad)
        if classes is None:
            raise UserError("--classes is required.")
        meaning = read_classes_file(classes)
        reader = LabelReader(meaning, label_format, read_label_map(label_map, meaning) if label_map else None)
        if pair_list is not None and raw_labels is not None:
            splits = read_pair_list(pair_list, raw_images, raw_labels, draw)
        else:
            splits = find_pairs(raw_images, raw_labels, draw, skip_bad)
        examples = {
            split: [_example(pair, raw_images, raw_labels, reader) for pair in pairs] for split, pairs in splits.items()
        }
        ids = Classes.from_file(meaning)
        if reader.says_what_is_ignored:
            ids = dataclasses.replace(ids, allow_absent_classes=True)
        return build_records(NAME, ids, examples, data_dir, overwrite, skip_bad)


def labels_kind(images: _Path, labels: _Path, labels_as: str = AUTO) -> str:
    """Returns the kind of the labels, see `annotation_kind`.

    Raises:
      UserError: if they cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        raw, only = _open_labels(labels, stack)
        return annotation_kind(raw, labels_as, os.path.realpath(images) == os.path.realpath(raw.path), only)


def _open_labels(path: _Path, stack: contextlib.ExitStack) -> tuple[RawFiles, str | None]:
    """Returns the folder or archive of the labels, and the name of the only file in it to use; None uses all."""
    file = pathlib.Path(path)
    if file.is_file() and file.suffix.lower() in SUFFIXES.values():
        return stack.enter_context(_open("labels", file.absolute().parent)), file.name
    return stack.enter_context(_open("labels", path)), None


def _open(flag: str, path: _Path) -> RawFiles:
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
    # Two labels that are exchanged may have the same size and time.
    listed = [] if _stem(pair.label) == _stem(pair.image) else [pair.label]
    return RawExample(pair.name, image, label, [*identity, *listed, *labels.identity(pair.label), *reader.identity()])


def _stem(path: str) -> str:
    return pathlib.PurePosixPath(path).stem


def _read_image(images: RawFiles, name: str) -> tuple[bytes, str]:
    return images.read(name), images.title(name)


def _read_label(reader: LabelReader, labels: RawFiles, name: str) -> tuple[np.ndarray, str]:
    title = labels.title(name)
    return reader.read(labels.read(name), title), title
