"""Converts Cityscapes to records: 19 classes, the fine splits train, val and test, and the coarse train_extra."""

from absl import flags

from deeplab_dpc.cli import builds, flag_groups
from deeplab_dpc.datasets.cityscapes import build_cityscapes


def main(values: flags.FlagValues) -> None:
    """Converts the data set."""
    flag_groups.required(values, "cityscapes_root", "data_dir")
    dataset = build_cityscapes(
        values.cityscapes_root, values.data_dir, values.coarse, values.overwrite, skip_bad=values.skip_bad
    )
    builds.finish(dataset, values)
