"""Converts PASCAL VOC 2012 segmentation to records, with SBD's labels for the larger training set train_aug."""

from absl import flags

from deeplab_dpc.cli.flags.shared import define_build_flags


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of datasets/build_voc2012.py."""
    flags.DEFINE_string(
        "voc_root",
        None,
        "Folder VOC2012, or the one that contains VOCdevkit, or VOCtrainval_11-May-2012.tar.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "sbd_root",
        None,
        "SBD's folder benchmark_RELEASE or benchmark.tgz; adds the split train_aug.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "aug_labels",
        None,
        "Folder or archive of label PNGs, SegmentationClassAug, instead of --sbd_root; adds the split train_aug.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "voc_test_root",
        None,
        "Folder or VOC2012test.tar with the test images, if --voc_root lacks them; adds the split test, "
        "without labels.",
        flag_values=values,
    )
    define_build_flags(values)
