"""Converts COCO, instances or panoptic, to records with the 21 classes of PASCAL VOC, to pretrain on.

Own annotations in COCO's layout become records with their own categories, after a background.
"""

from absl import flags

from deeplab_dpc.cli.flags.shared import define_build_flags
from deeplab_dpc.datasets.official import COCO_CLASSES, COCO_MIN_LABELLED_PIXELS, COCO_SPLITS


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of datasets/build_coco.py."""
    for split in COCO_SPLITS:
        flags.DEFINE_string(
            f"{split}_annotations",
            None,
            f"instances_{split}2017.json or panoptic_{split}2017.json; without it there is no split {split}.",
            flag_values=values,
        )
        flags.DEFINE_string(
            f"{split}_images", None, f"{split}2017.zip, or the folder unpacked from it.", flag_values=values
        )
        flags.DEFINE_string(
            f"{split}_panoptic_pngs",
            None,
            f"panoptic_{split}2017.zip, or the folder unpacked from it, for panoptic annotations.",
            flag_values=values,
        )
    flags.DEFINE_enum(
        "categories",
        COCO_CLASSES[0],
        COCO_CLASSES,
        "Classes of the data set: voc, those of PASCAL VOC; own, all categories of the annotations by "
        "their ids; auto, own if some are not categories of COCO, otherwise voc.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "min_labelled_pixels",
        None,
        "Least number of pixels of the classes other than the background in an image; images with fewer "
        f"are left out, in both splits, and 0 keeps all. By default {COCO_MIN_LABELLED_PIXELS} with the "
        "classes of PASCAL VOC (DeepLab: more than 1000), 0 with others.",
        flag_values=values,
    )
    define_build_flags(values)
