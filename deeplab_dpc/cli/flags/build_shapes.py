"""Writes the embedded data set `shapes`: drawn scenes with objects of very different sizes."""

from absl import flags


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of datasets/build_shapes.py."""
    flags.DEFINE_string("data_dir", None, "Folder in which the data set is written.", flag_values=values)
    flags.DEFINE_integer("num_train", 240, "Number of training images.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("num_val", 60, "Number of validation images.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("seed", 0, "Seed of the scenes.", flag_values=values)
    flags.DEFINE_bool("overwrite", False, "Replace a data set that was made with other flags.", flag_values=values)
