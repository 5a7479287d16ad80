"""Converts COCO, instances or panoptic, to records with the 21 classes of PASCAL VOC, for pretraining.

Other annotations in COCO's layout keep their own categories as classes, after a background.
"""

import dataclasses
from typing import Any

from deeplab_dpc.cli.flags.base import flag
from deeplab_dpc.cli.flags.shared import BuildFlags
from deeplab_dpc.datasets.official import COCO_CLASSES, COCO_MIN_LABELLED_PIXELS


def _annotations(split: str) -> Any:
    return flag(None, f"instances_{split}2017.json or panoptic_{split}2017.json; without it there is no split {split}.")


def _images(split: str) -> Any:
    return flag(None, f"{split}2017.zip, or the folder unpacked from it.")


def _pngs(split: str) -> Any:
    return flag(None, f"panoptic_{split}2017.zip, or the folder unpacked from it, for panoptic annotations.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(BuildFlags):
    """The flags of deeplab-dpc build-coco."""

    train_annotations: str | None = _annotations("train")
    train_images: str | None = _images("train")
    train_panoptic_pngs: str | None = _pngs("train")
    val_annotations: str | None = _annotations("val")
    val_images: str | None = _images("val")
    val_panoptic_pngs: str | None = _pngs("val")
    categories: str = flag(
        COCO_CLASSES[0],
        "Classes of the data set: voc (those of PASCAL VOC), own (all categories of the annotations, by their "
        "ids) or auto (own if some are not categories of COCO, otherwise voc).",
        choices=COCO_CLASSES,
    )
    min_labelled_pixels: int | None = flag(
        None,
        "Smallest number of pixels of classes other than the background in an image; images with fewer are "
        f"left out of both splits; 0 keeps all images. By default {COCO_MIN_LABELLED_PIXELS} with the classes "
        "of PASCAL VOC (DeepLab: more than 1000), 0 with others.",
    )
