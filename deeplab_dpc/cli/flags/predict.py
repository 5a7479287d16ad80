"""Predicts images, a prepared data set's images or a video: class ids, overlays and more; or serves a web page."""

from absl import flags

from deeplab_dpc.cli.flag_help import concerning
from deeplab_dpc.cli.flags.page import define_page_flags
from deeplab_dpc.cli.flags.shared import define_predictor_flags
from deeplab_dpc.evaluation.prediction_writer import OUTPUTS, OVERLAYS

DEFAULT_OUTPUTS = ("class_ids", OVERLAYS)
COMMON = (
    "workdir",
    "run_checkpoint",
    "checkpoint_path",
    "exported_model",
    "num_classes",
    "classes",
    "model_variant",
    "output_stride",
    "dense_prediction_cell_json",
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


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of predict.py."""
    define_predictor_flags(values)
    with concerning(values, "Data"):
        flags.DEFINE_string(
            "images",
            None,
            "An image, a folder of images (those directly in it), a pattern in quotes ('photos/**/*.jpg'), or a video.",
            flag_values=values,
        )
        flags.DEFINE_string("data_dir", None, "Prepared data set, instead of --images.", flag_values=values)
        flags.DEFINE_string(
            "dataset", None, "Name of the data set, if --data_dir contains several.", flag_values=values
        )
        flags.DEFINE_string("split", None, "Split of the data set, with or without labels.", flag_values=values)
    with concerning(values, "Output"):
        flags.DEFINE_string(
            "output_dir",
            None,
            "Folder in which OUTPUT/NAME.png is written; existing files are replaced.",
            flag_values=values,
        )
        flags.DEFINE_list(
            "outputs",
            None,
            f"Outputs to write, of {', '.join(OUTPUTS)}; by default {' and '.join(DEFAULT_OUTPUTS)}, of a "
            "video the overlays.",
            flag_values=values,
        )
        flags.DEFINE_bool("legend", True, "Whether overlays have a legend of their classes.", flag_values=values)
    flags.DEFINE_integer(
        "batch_size",
        1,
        "Largest number of consecutive images of one size that are predicted together.",
        flag_values=values,
    )
    flags.DEFINE_bool("skip_existing", False, "Skip images whose outputs all exist.", flag_values=values)
    define_page_flags(values)
