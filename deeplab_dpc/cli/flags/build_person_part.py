"""Converts PASCAL-Person-Part to records: people by body part, from Pascal-Part's annotations or from masks."""

from absl import flags

from deeplab_dpc.cli.flags.shared import define_build_flags


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of datasets/build_person_part.py."""
    flags.DEFINE_string(
        "voc_root",
        None,
        "Folder VOC2012 or VOC2010 with JPEGImages, or the one that contains VOCdevkit, or their tar file.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "annotations", None, "Pascal-Part's folder Annotations_Part or trainval.tar.gz.", flag_values=values
    )
    flags.DEFINE_string(
        "masks", None, "Folder or archive of PNGs with the ids 0 to 6, instead of --annotations.", flag_values=values
    )
    flags.DEFINE_string(
        "train_list",
        None,
        "Image ids of train (train_id.txt); by default the images of VOC's Main/train.txt with a part of a person.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "val_list",
        None,
        "Image ids of val (val_id.txt); by default the images of VOC's Main/val.txt with a part of a person.",
        flag_values=values,
    )
    define_build_flags(values)
