"""Evaluation of a network on a prepared data set."""

from collections.abc import Sequence
from typing import Any, Unpack

from deeplab_dpc.api.arguments import naming_arguments
from deeplab_dpc.api.data import DatasetLike, as_dataset
from deeplab_dpc.api.judging import judge_predictor, require_same_classes
from deeplab_dpc.api.options import InferenceOptions, inference_config
from deeplab_dpc.api.predictor import RENAMED, Source, load_predictor
from deeplab_dpc.config.judging import JudgeConfig
from deeplab_dpc.evaluation.bootstrap import Bootstrap
from deeplab_dpc.evaluation.report import metrics_json


@naming_arguments(**RENAMED)
def evaluate(
    source: Source | Sequence[Source],
    dataset: DatasetLike,
    *,
    split: str = "val",
    checkpoint: str | int = "latest",
    boundary_iou: bool = False,
    trimap_width: int = 0,
    bootstrap_resamples: int = 1000,
    check_class_names: bool = True,
    progress: bool = False,
    **options: Unpack[InferenceOptions],
) -> dict[str, Any]:
    """Evaluates a network on whole images, each at its own size, as deeplab-dpc eval does; nothing is written.

    Example:
        from deeplab_dpc import evaluate, read_dataset

        metrics = evaluate("RUN", read_dataset("DATA"), split="val")
        low, high = metrics["intervals"]["miou"]
        print(metrics["miou"], low, high, metrics["per_class_iou"])

    Args:
      source: see Predictor.
      dataset: data set of `read_dataset`, or its folder, with the classes of the network.
      split: split to evaluate.
      checkpoint: checkpoint of a run: 'latest', 'best' or a step.
      boundary_iou: bool, whether the IoU near contours is measured too.
      trimap_width: pixels on each side of the labels' contours in which the mIOU is measured too; 0 for none.
      bootstrap_resamples: number of resamples of the images for the 95 % intervals.
      check_class_names: bool, whether the classes must have the same names as the network's; otherwise only their
        number must agree.
      progress: bool, whether a progress bar is shown.
      **options: options of the prediction, see Predictor.

    Returns:
      The contents of metrics.json of deeplab-dpc eval: 'miou', 'pixel_accuracy', 'per_class_iou' (None for an absent
      class), in [0, 1], 'intervals' with [low, high] of each, and 'advice', lines on weak results, if there are any.

    Raises:
      UserError: if the classes differ, the split has no labels, or an image does not fit into the memory.
    """
    judging = JudgeConfig(boundary_iou, trimap_width=trimap_width, bootstrap_resamples=bootstrap_resamples)
    bootstrap = Bootstrap(judging.bootstrap_resamples)
    dataset = as_dataset(dataset)
    loaded = load_predictor(source, checkpoint, options)
    if check_class_names:
        require_same_classes(loaded, dataset)
    inference = inference_config(options)
    report, _ = judge_predictor(loaded, dataset, split, judging, bootstrap, inference, progress=progress)
    return metrics_json(report)
