"""Prints a network by part: output shape, parameters, multiply-adds. No data and no weights are needed."""

import dataclasses

from deeplab_dpc.cli.flags.base import CommandFlags, flag
from deeplab_dpc.cli.flags.shared import NetworkFlags, json_flag

DEFAULT_SIZE = (513, 513)
COMMON = (
    "workdir",
    "checkpoint_path",
    "num_classes",
    "input_size",
    "drawing",
    "json",
    "model_variant",
    "output_stride",
    "atrous_rates",
    "decoder_output_stride",
    "dense_prediction_cell_json",
    "genotype_json",
)  # in --help; the others are in --helpfull


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(CommandFlags):
    """The flags of deeplab-dpc describe."""

    workdir: str | None = flag(None, "Run directory of deeplab-dpc train, instead of the flags of a network.")
    checkpoint_path: str | None = flag(
        None,
        "Published TensorFlow 1 checkpoint whose network is described, by its prefix or its name "
        "(docs/weights.md); the flags of the network take precedence over its variables.",
    )
    num_classes: int = flag(21, "Number of channels of the logits.")
    input_size: tuple[int, int] | None = flag(
        DEFAULT_SIZE, "Height and width in pixels of the image for which the costs are counted."
    )
    drawing: str | None = flag(
        None, "File (PNG) for a drawing of the network's dense prediction cell, or of an Auto-DeepLab's cell."
    )
    json: bool = json_flag()
    network: NetworkFlags
