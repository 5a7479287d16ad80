"""Converts Cityscapes to records: 19 classes, the fine splits train, val and test, and the coarse train_extra."""

from deeplab_dpc.cli import builds
from deeplab_dpc.cli.flags.base import required
from deeplab_dpc.cli.flags.build_cityscapes import Flags
from deeplab_dpc.datasets.cityscapes import build_cityscapes


def main(flags: Flags) -> None:
    """Converts the data set."""
    root, data_dir = required("cityscapes_root", flags.cityscapes_root), required("data_dir", flags.data_dir)
    dataset = build_cityscapes(root, data_dir, flags.coarse, flags.overwrite, skip_bad=flags.skip_bad)
    builds.finish(dataset, flags)
