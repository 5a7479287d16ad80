"""Flags that several commands share, beside those of flag_groups.py: sources of networks, builds, JSON."""

from absl import flags

from deeplab_dpc.checkpoint.run_directory import BEST, LATEST
from deeplab_dpc.cli import flag_groups
from deeplab_dpc.cli.flag_help import concerning
from deeplab_dpc.config import InferenceConfig
from deeplab_dpc.data.classes_file import CLASSES_HELP


def define_json_flag(values: flags.FlagValues) -> None:
    """Defines --json, for the commands that describe a network."""
    with concerning(values, "Output"):
        flags.DEFINE_bool("json", False, "Print JSON instead of a table.", flag_values=values)


def define_source_flags(values: flags.FlagValues) -> None:
    """Defines --workdir with --run_checkpoint, and --checkpoint_path with the flags of its model."""
    with concerning(values, "Network"):
        flags.DEFINE_string(
            "workdir",
            None,
            "Run directory of train.py; eval, predict and export take several too, A,B, and average their "
            "probabilities.",
            flag_values=values,
        )
        flags.DEFINE_string(
            "run_checkpoint",
            LATEST,
            f"Checkpoint of --workdir: {LATEST}, {BEST} (of the evaluations during the training) or a step.",
            flag_values=values,
        )
        flags.DEFINE_string(
            "checkpoint_path",
            None,
            "Published TensorFlow 1 checkpoint, instead of --workdir: the prefix before .index, or the name "
            "by which it is downloaded (docs/weights.md). Its variables determine the flags of the network.",
            flag_values=values,
        )
        flags.DEFINE_bool(
            "restore_moving_averages",
            False,
            "Whether the moving averages of the variables in --checkpoint_path are restored instead of the variables.",
            flag_values=values,
        )
        flags.DEFINE_integer(
            "num_classes",
            None,
            "Number of classes of the checkpoint; by default that of its variables.",
            flag_values=values,
        )
        flags.DEFINE_string(
            "classes",
            None,
            "Names and colours of the classes, with --checkpoint_path; by default those of PASCAL VOC, "
            f"Cityscapes or ADE20K if the number agrees. {CLASSES_HELP}",
            flag_values=values,
        )
    flag_groups.define_model_flags(values)


def define_predictor_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the network or exported model, and of InferenceConfig."""
    define_source_flags(values)
    with concerning(values, "Network"):
        flags.DEFINE_string(
            "exported_model",
            None,
            "Export of export.py, instead of --workdir: the directory of a SavedModel, or a .tflite or .onnx file.",
            flag_values=values,
        )
    with concerning(values, "Prediction"):
        flag_groups.define_config_flags(values, InferenceConfig)


def define_build_flags(values: flags.FlagValues) -> None:
    """Defines --data_dir, --overwrite, --skip_bad and --check."""
    with concerning(values, "Output"):
        flags.DEFINE_string("data_dir", None, "Folder in which the data set is written.", flag_values=values)
        flags.DEFINE_bool("overwrite", False, "Replace a data set that was made from other files.", flag_values=values)
        flags.DEFINE_bool(
            "skip_bad",
            False,
            "Leave out unusable images and labels, and list them at the end, instead of stopping at the first.",
            flag_values=values,
        )
        flags.DEFINE_bool(
            "check",
            True,
            "Check the records afterwards, as check_data does, and draw a contact sheet.",
            flag_values=values,
        )
