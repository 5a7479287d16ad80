"""Converts ADE20K (SceneParsing, 150 classes) to records, from its folder or ADEChallengeData2016.zip."""

from absl import flags

from deeplab_dpc.cli import builds, flag_groups
from deeplab_dpc.datasets.ade20k import build_ade20k


def main(values: flags.FlagValues) -> None:
    """Converts the data set."""
    flag_groups.required(values, "ade20k_root", "data_dir")
    dataset = build_ade20k(values.ade20k_root, values.data_dir, values.max_side, values.overwrite, values.skip_bad)
    builds.finish(dataset, values)
