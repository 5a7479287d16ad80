"""Evaluates a network on a split: mIOU, IoU by class, accuracies, with confidence intervals.

Also compares two evaluated runs (--compare), and writes predictions for official test servers (--submission).
"""

import dataclasses

from deeplab_dpc.cli.flags.base import CommandFlags, ConfigFields, fields_of, flag
from deeplab_dpc.cli.flags.shared import DATASET_HELP, OF_PREDICTOR, PredictorFlags
from deeplab_dpc.config import JudgeConfig
from deeplab_dpc.evaluation.submission import VOC_COMPETITIONS

SERVERS = ("cityscapes", "voc2012")
COMMON = (
    *OF_PREDICTOR,
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(CommandFlags):
    """The flags of deeplab-dpc eval."""

    predictor: PredictorFlags
    split: str = flag("val", "Split to evaluate.", title="Data")
    data_dir: str | None = flag(None, "Prepared data set; by default the run's.", title="Data")
    dataset: str | None = flag(None, DATASET_HELP, title="Data")
    eval_logdir: str | None = flag(None, "Folder in which eval_SPLIT is written; by default the run directory.")
    judging: ConfigFields[JudgeConfig] = fields_of(JudgeConfig, title="Evaluation")
    worst_images: int = flag(8, "Number of images in worst.png; 0 for none.")
    compare: str | None = flag(
        None,
        "RUN_A,RUN_B: print the differences between two runs that have been evaluated on --split, "
        "instead of evaluating; two directories with an evaluation can also be given. Writes "
        "comparison.json if --eval_logdir is given.",
    )
    check_class_names: bool = flag(
        True, "Whether the data set must have the network's classes by name; otherwise, only their number must agree."
    )
    submission: str | None = flag(
        None,
        "File for the predictions of --split in the format of the official test server, instead of an evaluation: a "
        ".zip for Cityscapes, a .tgz for PASCAL VOC 2012.",
        title="Output",
    )
    submission_server: str | None = flag(
        None, "Official test server; by default that of the data set.", title="Output", choices=SERVERS
    )
    voc_competition: str = flag(
        "comp6",
        "Competition of PASCAL VOC 2012: comp5 (trained only on its data) or comp6 (on any data).",
        title="Output",
        choices=VOC_COMPETITIONS,
    )
    max_number_of_evaluations: int = flag(
        1,
        "Largest number of evaluations, one for each new checkpoint of --workdir until its training is "
        "complete; 0 for no limit.",
    )
    eval_interval_secs: int = flag(300, "Seconds between checks for a new checkpoint, with several evaluations.")
