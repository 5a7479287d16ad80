"""COCO (Lin et al., arXiv:1405.0312), with the classes of PASCAL VOC for pretraining as in DeepLab, or its own classes.

DeepLabv3 (arXiv:1706.05587, Sec. 4.3) takes the images with annotated regions of more than 1000 pixels, read here as
the sum over the VOC classes; all other classes of COCO are background. Where instances overlap, the smaller is on top;
the paper does not specify this, and other converters keep the first one listed, or ignore pixels that are covered
twice. Crowd regions are ignored, except where a single instance covers them. Annotations in the same layout with
categories of their own (exported by CVAT, Roboflow, Label Studio and others) become a data set with these categories.
"""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from deeplab_dpc.console import console, track
from deeplab_dpc.data.dataset_info import DEFAULT_IGNORE_LABEL, Dataset
from deeplab_dpc.datasets.coco_categories import BACKGROUND, choose_classes
from deeplab_dpc.datasets.coco_json import CocoAnnotations, CocoImage, read_annotations
from deeplab_dpc.datasets.coco_masks import segmentation_mask
from deeplab_dpc.datasets.label_pictures import read_label
from deeplab_dpc.datasets.official import COCO_MIN_LABELLED_PIXELS
from deeplab_dpc.datasets.raw_files import RawFiles, open_raw
from deeplab_dpc.datasets.records import RawExample, build_records
from deeplab_dpc.errors import UserError, first_few

NAME = "coco"
PAGE = "https://cocodataset.org/#download"

_VOID = 0  # the segment id of pixels that panoptic annotations leave out
_LISTED = 3  # number of missing files in a message


@dataclasses.dataclass(frozen=True)
class CocoSplit:
    """The raw files of a split.

    Attributes:
      annotations: instances_*.json or panoptic_*.json.
      images: folder or archive with the images.
      panoptic_pngs: folder or archive with the PNGs of panoptic annotations; None for instances.
    """

    annotations: str | os.PathLike[str]
    images: str | os.PathLike[str]
    panoptic_pngs: str | os.PathLike[str] | None = None


def build_coco(
    splits: Mapping[str, CocoSplit],
    data_dir: str | os.PathLike[str],
    min_labelled_pixels: int | None = None,
    overwrite: bool = False,
    skip_bad: bool = False,
    categories: str = "auto",
) -> Dataset:
    """Builds the data set `coco`.

    Args:
      splits: files of each split, by name; train, val or both.
      data_dir: directory in which data sets are written.
      min_labelled_pixels: minimum number of pixels of the classes in an image; images with fewer are left out, and 0
        keeps all. None means COCO_MIN_LABELLED_PIXELS for the classes of PASCAL VOC, and 0 for others.
      overwrite: bool, whether to replace a data set that was made from other files.
      skip_bad: bool, whether images that cannot be used are left out.
      categories: choice of the classes, see `choose_classes`.

    Raises:
      UserError: if files are missing or cannot be used, or no image has that many pixels.
    """
    if not splits:
        raise UserError("COCO needs --train_annotations and --train_images, or --val_annotations and --val_images.")
    if min_labelled_pixels is not None and min_labelled_pixels < 0:
        raise UserError(f"--min_labelled_pixels must be at least 0, got {min_labelled_pixels}.")
    with contextlib.ExitStack() as stack:
        opened = {split: _opened(split, files, stack) for split, files in splits.items()}
        meaning = choose_classes({split: one.annotations for split, one in opened.items()}, categories)
        if min_labelled_pixels is None:
            min_labelled_pixels = COCO_MIN_LABELLED_PIXELS if meaning.is_voc else 0
        kept = {}
        for split, one in opened.items():
            examples = _examples(split, one, meaning.ids[split])
            kept[split] = _labelled(split, examples, min_labelled_pixels, skip_bad, meaning.noun)
        return build_records(NAME, meaning.classes, kept, data_dir, overwrite, skip_bad)


@dataclasses.dataclass(frozen=True)
class _Opened:
    """The files of a split, opened; `pngs` is None for instances."""

    annotations: CocoAnnotations
    images: RawFiles
    pngs: RawFiles | None


def _opened(split: str, files: CocoSplit, stack: contextlib.ExitStack) -> _Opened:
    images = _open(files.images, f"--{split}_images", f"{split}2017.zip", stack)
    pngs = None
    if files.panoptic_pngs is not None:
        archive = f"panoptic_annotations_trainval2017.zip and from it panoptic_{split}2017.zip"
        pngs = _open(files.panoptic_pngs, f"--{split}_panoptic_pngs", archive, stack)
    if not os.path.exists(files.annotations):
        kind = "instances" if pngs is None else "panoptic"
        archive = "annotations_trainval2017.zip" if pngs is None else "panoptic_annotations_trainval2017.zip"
        raise UserError(
            f"The annotations {files.annotations} are missing; download {archive} from {PAGE}, unpack it, and give "
            f"its {kind}_{split}2017.json as --{split}_annotations."
        )
    annotations = read_annotations(files.annotations)
    if not annotations.images:
        raise UserError(f"The annotations {annotations.path} list no image.")
    if annotations.panoptic != (pngs is not None):
        kind, remedy = ("panoptic", "give their PNGs as") if annotations.panoptic else ("not panoptic", "leave out")
        raise UserError(f"The annotations {annotations.path} are {kind}; {remedy} --{split}_panoptic_pngs.")
    return _Opened(annotations, images, pngs)


def _examples(split: str, files: _Opened, class_ids: dict[int, int]) -> list[RawExample]:
    """Returns all images of a split with their labels."""
    annotations, images, pngs = files.annotations, files.images, files.pngs
    image_paths = _locate(images, [image.filename for image in annotations.images], f"{split}2017.zip")
    stat = annotations.path.stat()
    same = [stat.st_size, stat.st_mtime_ns]  # the annotations' part of every example's identity
    if pngs is None:
        return [
            RawExample(
                image.filename,
                functools.partial(_read_titled, images, path),
                functools.partial(instance_ids, annotations, class_ids, image),
                [*images.identity(path), *same],
            )
            for image, path in zip(annotations.images, image_paths, strict=True)
        ]
    png_paths = _locate(pngs, _png_names(annotations), f"panoptic_{split}2017.zip")
    return [
        RawExample(
            image.filename,
            functools.partial(_read_titled, images, path),
            functools.partial(_panoptic, class_ids, image, pngs, png),
            [*images.identity(path), *pngs.identity(png), *same],
        )
        for image, path, png in zip(annotations.images, image_paths, png_paths, strict=True)
    ]


def _open(path: str | os.PathLike[str], flag: str, archive: str, stack: contextlib.ExitStack) -> RawFiles:
    if not os.path.exists(path):
        raise UserError(
            f"There is no folder or archive {path}; download {archive} from {PAGE} and give it, or the folder unpacked "
            f"from it, as {flag}."
        )
    return stack.enter_context(open_raw(path))


def _locate(raw: RawFiles, filenames: list[str], archive: str) -> list[str]:
    """Returns the path of each file, whatever folder contains it."""
    paths: dict[str, str] = {}
    wanted = set(filenames)
    for path in raw.names():
        filename = path.rpartition("/")[2]
        if filename in wanted and filename in paths:
            raise UserError(f"{raw.path} has both {paths[filename]} and {path}; give the folder that is meant.")
        paths[filename] = path
    missing = [filename for filename in filenames if filename not in paths]
    if missing:
        shown = first_few(missing, _LISTED)
        raise UserError(
            f"{shown}: {len(missing)} of {len(filenames)} files that the annotations list are not in {raw.path}; they "
            f"are in {archive} from {PAGE}."
        )
    return [paths[filename] for filename in filenames]


def _labelled(split: str, examples: list[RawExample], min_pixels: int, skip_bad: bool, noun: str) -> list[RawExample]:
    """Returns the examples with at least `min_pixels` pixels of the classes.

    The labels are drawn to count their pixels, and drawn again when they are written.
    """
    if not min_pixels:
        return examples
    counts: Iterable[int] = (_foreground(example, skip_bad, min_pixels) for example in examples)
    counted = track(counts, f"Counting pixels of {split}", len(examples))
    kept = [example for example, count in zip(examples, counted, strict=True) if count >= min_pixels]
    if not kept:
        raise UserError(
            f"None of the {len(examples)} images of {split} has {min_pixels} pixels of {noun}; lower "
            "--min_labelled_pixels."
        )
    console.print(f"{split}: {len(kept)} of {len(examples)} images have at least {min_pixels} pixels of {noun}")
    return kept


def _foreground(example: RawExample, skip_bad: bool, if_bad: int) -> int:
    """Returns the number of pixels of the classes; `if_bad` for a bad label that is to be skipped, so that the example
    is kept here and reported later.
    """
    if example.label is None:
        return 0
    try:
        ids, _ = example.label()
    except UserError:
        if not skip_bad:
            raise
        return if_bad
    return int(np.count_nonzero((ids != BACKGROUND) & (ids != DEFAULT_IGNORE_LABEL)))


def _read_titled(raw: RawFiles, path: str) -> tuple[bytes, str]:
    return raw.read(path), raw.title(path)


def instance_ids(
    annotations: CocoAnnotations,
    class_ids: Mapping[int, int],
    image: CocoImage,
    outside: int = BACKGROUND,
    ignored: int = DEFAULT_IGNORE_LABEL,
) -> tuple[np.ndarray, str]:
    """Draws the masks of instances: crowds at the bottom, then from the largest to the smallest.

    Args:
      annotations: contents of the annotation file.
      class_ids: class ids by category id; instances of other categories are left out.
      image: entry of the image in the file.
      outside: id of the pixels that no instance covers.
      ignored: id of the pixels of crowds.

    Returns:
      Class ids, uint8 [height, width], and their name in messages.

    Raises:
      UserError: for an instance that cannot be drawn.
    """
    name = f"{annotations.path} (image {image.image_id})"
    layers = []
    for annotation in image.annotations:
        class_id = class_ids.get(annotation["category_id"])
        if class_id is None:
            continue
        try:
            mask = segmentation_mask(annotation.get("segmentation"), image.height, image.width)
        except ValueError as error:
            raise UserError(
                f"The annotation {annotation.get('id')} of {image.filename} in {annotations.path} cannot be used: "
                f"{error}."
            ) from error
        is_crowd = bool(annotation.get("iscrowd"))
        box = _box(mask)
        layers.append((not is_crowd, -np.count_nonzero(mask), ignored if is_crowd else class_id, box, mask[box].copy()))
    ids = np.full((image.height, image.width), outside, np.uint8)
    for *_, value, box, part in sorted(layers, key=lambda layer: layer[:2]):
        ids[box][part] = value
    return ids, name


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    """Returns the rows and columns that contain all of a mask; only this part is kept until all masks are known."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return slice(0), slice(0)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _png_names(annotations: CocoAnnotations) -> list[str]:
    for image in annotations.images:
        if len(image.annotations) != 1:
            raise UserError(
                f"The annotations {annotations.path} have {len(image.annotations)} entries for {image.filename}; "
                "panoptic ones have one per image."
            )
    return [image.annotations[0]["file_name"] for image in annotations.images]


def _panoptic(class_ids: dict[int, int], image: CocoImage, pngs: RawFiles, png: str) -> tuple[np.ndarray, str]:
    """Returns class ids from a PNG of segments with the ids red + 256 green + 256^2 blue; unlabelled pixels are
    ignored.
    """
    data, name = _read_titled(pngs, png)
    label = read_label(data, name)
    if label.kind != "rgb":
        raise UserError(f"The panoptic label {name} is {label.kind}; it must be RGB.")
    segment_ids = label.values.astype(np.int64) @ [1, 256, 256**2]
    values = {_VOID: DEFAULT_IGNORE_LABEL} | {
        segment["id"]: _segment_value(segment, class_ids) for segment in image.annotations[0]["segments_info"]
    }
    present, index = np.unique(segment_ids, return_inverse=True)
    unknown = [int(segment_id) for segment_id in present if segment_id not in values]
    if unknown:
        raise UserError(f"The panoptic label {name} has the segment {unknown[0]}, which the annotations do not list.")
    lookup = np.array([values[segment_id] for segment_id in present.tolist()], np.uint8)
    return lookup[index].reshape(segment_ids.shape), name


def _segment_value(segment: dict[str, Any], class_ids: dict[int, int]) -> int:
    class_id = class_ids.get(segment["category_id"], BACKGROUND)
    return DEFAULT_IGNORE_LABEL if class_id != BACKGROUND and segment.get("iscrowd") else class_id
