"""Writes the embedded data set `shapes`: drawn scenes with objects of very different sizes."""

from absl import flags

from deeplab_dpc.cli import flag_groups
from deeplab_dpc.console import console
from deeplab_dpc.datasets.shapes import build_shapes


def main(values: flags.FlagValues) -> None:
    """Draws the data set."""
    flag_groups.required(values, "data_dir")
    dataset = build_shapes(
        values.data_dir,
        num_train=values.num_train,
        num_val=values.num_val,
        seed=values.seed,
        overwrite=values.overwrite,
    )
    console.print(f"Data set: {dataset.path} ({values.num_train} train, {values.num_val} val)")
