"""Converts ADE20K (SceneParsing, 150 classes) to records, from its folder or ADEChallengeData2016.zip."""

from deeplab_dpc.cli import builds
from deeplab_dpc.cli.flags.base import required
from deeplab_dpc.cli.flags.build_ade20k import Flags
from deeplab_dpc.datasets.ade20k import build_ade20k


def main(flags: Flags) -> None:
    """Converts the data set."""
    root, data_dir = required("ade20k_root", flags.ade20k_root), required("data_dir", flags.data_dir)
    dataset = build_ade20k(root, data_dir, flags.max_side, flags.overwrite, flags.skip_bad)
    builds.finish(dataset, flags)
