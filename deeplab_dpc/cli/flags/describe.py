"""Prints a network by part: output shape, parameters, multiply-adds. No data and no weights are needed."""

from absl import flags

from deeplab_dpc.cli import flag_groups
from deeplab_dpc.cli.flags.shared import define_json_flag

DEFAULT_SIZE = (513, 513)
COMMON = (
    "workdir",
    "checkpoint_path",
    "num_classes",
    "input_size",
    "json",
    "model_variant",
    "output_stride",
    "atrous_rates",
    "decoder_output_stride",
    "dense_prediction_cell_json",
    "genotype_json",
)  # in --help; the others are in --helpfull


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of describe.py."""
    flags.DEFINE_string(
        "workdir", None, "Run directory of train.py, instead of the flags of a model.", flag_values=values
    )
    flags.DEFINE_string(
        "checkpoint_path",
        None,
        "Published TensorFlow 1 checkpoint whose network is described, by its prefix or its name "
        "(docs/weights.md); the flags of the model take precedence over its variables.",
        flag_values=values,
    )
    flags.DEFINE_integer("num_classes", 21, "Number of channels of the logits.", flag_values=values)
    flag_groups.define_numbers(
        values, "input_size", "Height and width in pixels of the image for which costs are counted.", DEFAULT_SIZE
    )
    define_json_flag(values)
    flag_groups.define_model_flags(values)
