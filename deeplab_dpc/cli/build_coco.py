"""Converts COCO, instances or panoptic, to records with the 21 classes of PASCAL VOC, to pretrain on.

Own annotations in COCO's layout become records with their own categories, after a background.
"""

from absl import flags

from deeplab_dpc.cli import builds, flag_groups
from deeplab_dpc.datasets.coco import MIN_LABELLED_PIXELS, SPLITS, CocoSplit, build_coco
from deeplab_dpc.datasets.coco_categories import CATEGORIES


def define_flags(values: flags.FlagValues) -> None:
    """The flags of datasets/build_coco.py."""
    for split in SPLITS:
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
            f"panoptic_{split}2017.zip, or the folder unpacked from it, where the annotations are panoptic.",
            flag_values=values,
        )
    flags.DEFINE_enum(
        "categories",
        CATEGORIES[0],
        CATEGORIES,
        "The classes: voc, PASCAL VOC's; own, all categories of the annotations by their ids; auto, own where some are "
        "none of COCO's.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "min_labelled_pixels",
        None,
        "Images with fewer pixels of the classes beside the background are left out, in both splits; 0 keeps all. By "
        f"default {MIN_LABELLED_PIXELS} with PASCAL VOC's (DeepLab: more than 1000), 0 with others.",
        flag_values=values,
    )
    builds.define_build_flags(values)


def main(values: flags.FlagValues) -> None:
    """Converts."""
    flag_groups.required(values, "data_dir")
    splits = {}
    for split in SPLITS:
        names = [f"{split}_{part}" for part in ("annotations", "images", "panoptic_pngs")]
        if any(values[name].value for name in names):
            flag_groups.required(values, *names[:2])
            annotations, images, pngs = (values[name].value for name in names)
            splits[split] = CocoSplit(str(annotations), str(images), pngs or None)
    dataset = build_coco(
        splits,
        values.data_dir,
        values.min_labelled_pixels,
        values.overwrite,
        values.skip_bad,
        values.categories,
    )
    builds.finish(dataset, values)
