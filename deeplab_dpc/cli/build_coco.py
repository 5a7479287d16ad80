"""Converts COCO, instances or panoptic, to records with the 21 classes of PASCAL VOC, for pretraining."""

from deeplab_dpc.cli import builds
from deeplab_dpc.cli.flags.base import required
from deeplab_dpc.cli.flags.build_coco import Flags
from deeplab_dpc.datasets.coco import CocoSplit, build_coco


def main(flags: Flags) -> None:
    """Converts the data set."""
    data_dir = required("data_dir", flags.data_dir)
    given = {
        "train": (flags.train_annotations, flags.train_images, flags.train_panoptic_pngs),
        "val": (flags.val_annotations, flags.val_images, flags.val_panoptic_pngs),
    }
    splits = {
        split: CocoSplit(
            required(f"{split}_annotations", annotations), required(f"{split}_images", images), pngs or None
        )
        for split, (annotations, images, pngs) in given.items()
        if annotations or images or pngs
    }
    dataset = build_coco(
        splits,
        data_dir,
        flags.min_labelled_pixels,
        flags.overwrite,
        flags.skip_bad,
        flags.categories,
    )
    builds.finish(dataset, flags)
