"""Converts ADE20K (SceneParsing, 150 classes) to records, from its folder or ADEChallengeData2016.zip."""

from absl import flags

from deeplab_dpc.cli.flags.shared import define_build_flags
from deeplab_dpc.datasets.official import ADE20K_ARCHIVE, ADE20K_PAGE, ADE20K_PAPER_MAX_SIDE


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of datasets/build_ade20k.py."""
    flags.DEFINE_string(
        "ade20k_root", None, f"{ADE20K_ARCHIVE} from {ADE20K_PAGE}, or the folder unpacked from it.", flag_values=values
    )
    flags.DEFINE_integer(
        "max_side",
        0,
        "Length in pixels to which the longer side of all images of train is resized; 0 keeps their "
        f"size. Images of val always keep their size. Auto-DeepLab uses {ADE20K_PAPER_MAX_SIDE}.",
        flag_values=values,
    )
    define_build_flags(values)
