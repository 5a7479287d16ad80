"""Evaluates a network on a split: mIOU, IoU by class, accuracies, with confidence intervals.

Also compares two evaluated runs (--compare), and writes what official test servers take (--submission).
"""

from absl import flags

from deeplab_dpc.cli import flag_groups
from deeplab_dpc.cli.flag_help import concerning
from deeplab_dpc.cli.flags.shared import define_predictor_flags
from deeplab_dpc.config import JudgeConfig
from deeplab_dpc.evaluation.submission import VOC_COMPETITIONS

SERVERS = ("cityscapes", "voc2012")
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
    "split",
    "data_dir",
    "dataset",
    "eval_logdir",
    "eval_scales",
    "add_flipped_images",
    "sliding_window",
    "boundary_iou",
    "trimap_width",
    "worst_images",
    "compare",
    "submission",
    "max_number_of_evaluations",
)  # in --help; the others are in --helpfull


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of eval.py."""
    define_predictor_flags(values)
    with concerning(values, "Data"):
        flags.DEFINE_string("split", "val", "Split to evaluate.", flag_values=values)
        flags.DEFINE_string("data_dir", None, "Prepared data set; by default the run's.", flag_values=values)
        flags.DEFINE_string(
            "dataset", None, "Name of the data set, if --data_dir contains several.", flag_values=values
        )
    flags.DEFINE_string(
        "eval_logdir", None, "Folder in which eval_SPLIT is written; by default the run directory.", flag_values=values
    )
    with concerning(values, "Evaluation"):
        flag_groups.define_config_flags(values, JudgeConfig)
    flags.DEFINE_integer("worst_images", 8, "Number of images in worst.png; 0 for none.", flag_values=values)
    flags.DEFINE_string(
        "compare",
        None,
        "RUN_A,RUN_B: print the differences between two runs that have been evaluated on --split, "
        "instead of an evaluation; two directories with an evaluation can also be given. Writes "
        "comparison.json if --eval_logdir is given.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "check_class_names",
        True,
        "Whether the data set must have the network's classes by name; otherwise only their number must agree.",
        flag_values=values,
    )
    define_submission_flags(values)
    flags.DEFINE_integer(
        "max_number_of_evaluations",
        1,
        "Number of evaluations, one for each new checkpoint of --workdir, until its training is "
        "complete; 0 for any number.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "eval_interval_secs",
        300,
        "Seconds between checks for a new checkpoint, with several evaluations.",
        flag_values=values,
    )


def define_submission_flags(values: flags.FlagValues) -> None:
    """Defines --submission and the flags of its destination."""
    with concerning(values, "Output"):
        flags.DEFINE_string(
            "submission",
            None,
            "File for the predictions of --split in the form of the official test server, instead of an evaluation: a "
            ".zip for Cityscapes, a .tgz for PASCAL VOC 2012.",
            flag_values=values,
        )
        flags.DEFINE_enum(
            "submission_server",
            None,
            SERVERS,
            "Official test server; by default that of the data set.",
            flag_values=values,
        )
        flags.DEFINE_enum(
            "voc_competition",
            "comp6",
            VOC_COMPETITIONS,
            "Competition of PASCAL VOC 2012: comp5 (trained only on its data) or comp6 (on any data).",
            flag_values=values,
        )
