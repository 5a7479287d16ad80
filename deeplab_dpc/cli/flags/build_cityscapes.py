"""Converts Cityscapes to records: 19 classes, the fine splits train, val and test, and the coarse train_extra."""

from absl import flags

from deeplab_dpc.cli.flags.shared import define_build_flags


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of datasets/build_cityscapes.py."""
    flags.DEFINE_string(
        "cityscapes_root",
        None,
        "Folder with leftImg8bit, gtFine and gtCoarse, or with the official zips, which are read packed.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "coarse", False, "Add the split train_extra: 19,997 images with coarse labels.", flag_values=values
    )
    define_build_flags(values)
