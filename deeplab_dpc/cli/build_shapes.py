"""Writes the embedded data set `shapes`: drawn scenes with objects of very different sizes."""

from absl import flags

from deeplab_dpc.cli import flag_groups
from deeplab_dpc.console import console
from deeplab_dpc.datasets.shapes import build_shapes


def define_flags(values: flags.FlagValues) -> None:
    """The flags of datasets/build_shapes.py."""
    flags.DEFINE_string("data_dir", None, "Where the data set is written.", flag_values=values)
    flags.DEFINE_integer("num_train", 240, "Training images.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("num_val", 60, "Validation images.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("seed", 0, "Of the scenes.", flag_values=values)
    flags.DEFINE_bool("overwrite", False, "Replace a data set that was made with other flags.", flag_values=values)


def main(values: flags.FlagValues) -> None:
    """Draws."""
    flag_groups.required(values, "data_dir")
    dataset = build_shapes(
        values.data_dir,
        num_train=values.num_train,
        num_val=values.num_val,
        seed=values.seed,
        overwrite=values.overwrite,
    )
    console.print(f"Data set: {dataset.path} ({values.num_train} train, {values.num_val} val)")
