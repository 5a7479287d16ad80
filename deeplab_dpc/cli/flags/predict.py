"""Predicts class ids, overlays and more for images, a prepared data set or a video, or serves a web page."""

import dataclasses

from deeplab_dpc.cli.flags.base import CommandFlags, flag
from deeplab_dpc.cli.flags.page import PageFlags
from deeplab_dpc.cli.flags.shared import DATASET_HELP, OF_PREDICTOR, PredictorFlags
from deeplab_dpc.evaluation.prediction_writer import OUTPUTS, OVERLAYS

DEFAULT_OUTPUTS = ("class_ids", OVERLAYS)
COMMON = (
    *OF_PREDICTOR,
    "images",
    "data_dir",
    "split",
    "output_dir",
    "outputs",
    "skip_existing",
    "batch_size",
    "eval_scales",
    "add_flipped_images",
    "sliding_window",
    "serve",
    "host",
    "port",
)  # in --help; the others are in --helpfull


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(CommandFlags):
    """The flags of deeplab-dpc predict."""

    predictor: PredictorFlags
    images: str | None = flag(
        None,
        "An image, a folder of images (those directly in it), a pattern in quotes ('photos/**/*.jpg'), or a video.",
        title="Data",
    )
    data_dir: str | None = flag(None, "Prepared data set, instead of --images.", title="Data")
    dataset: str | None = flag(None, DATASET_HELP, title="Data")
    split: str | None = flag(None, "Split of the data set, with or without labels.", title="Data")
    output_dir: str | None = flag(
        None, "Folder in which OUTPUT/NAME.png is written; existing files are replaced.", title="Output"
    )
    outputs: tuple[str, ...] | None = flag(
        None,
        f"Outputs to write, out of {', '.join(OUTPUTS)}; by default {' and '.join(DEFAULT_OUTPUTS)}, for a "
        "video only the overlays.",
        title="Output",
    )
    legend: bool = flag(True, "Whether overlays have a legend of the classes.", title="Output")
    batch_size: int = flag(1, "Largest number of consecutive images of one size that are predicted together.")
    skip_existing: bool = flag(False, "Skip images whose outputs all exist already.")
    page: PageFlags
