"""Converts PASCAL VOC 2012 segmentation to records, with SBD's labels for the larger training set train_aug."""

from absl import flags

from deeplab_dpc.cli import builds, flag_groups
from deeplab_dpc.datasets.voc2012 import build_voc2012


def main(values: flags.FlagValues) -> None:
    """Converts the data set."""
    flag_groups.required(values, "voc_root", "data_dir")
    dataset = build_voc2012(
        values.voc_root,
        values.data_dir,
        sbd_root=values.sbd_root,
        aug_labels=values.aug_labels,
        voc_test_root=values.voc_test_root,
        overwrite=values.overwrite,
        skip_bad=values.skip_bad,
    )
    builds.finish(dataset, values)
