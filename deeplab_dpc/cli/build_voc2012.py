"""Converts PASCAL VOC 2012 segmentation to records, with SBD's labels for the larger training set train_aug."""

from deeplab_dpc.cli import builds
from deeplab_dpc.cli.flags.base import required
from deeplab_dpc.cli.flags.build_voc2012 import Flags
from deeplab_dpc.datasets.voc2012 import build_voc2012


def main(flags: Flags) -> None:
    """Converts the data set."""
    dataset = build_voc2012(
        required("voc_root", flags.voc_root),
        required("data_dir", flags.data_dir),
        sbd_root=flags.sbd_root,
        aug_labels=flags.aug_labels,
        voc_test_root=flags.voc_test_root,
        overwrite=flags.overwrite,
        skip_bad=flags.skip_bad,
    )
    builds.finish(dataset, flags)
