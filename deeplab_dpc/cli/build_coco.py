"""Converts COCO, instances or panoptic, to records with the 21 classes of PASCAL VOC, to pretrain on."""

from absl import flags

from deeplab_dpc.cli import builds, flag_groups
from deeplab_dpc.datasets.coco import CocoSplit, build_coco
from deeplab_dpc.datasets.official import COCO_SPLITS


def main(values: flags.FlagValues) -> None:
    """Converts the data set."""
    flag_groups.required(values, "data_dir")
    splits = {}
    for split in COCO_SPLITS:
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
