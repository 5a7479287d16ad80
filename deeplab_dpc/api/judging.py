"""The evaluation of a loaded predictor, for the command eval and the function `evaluate`."""

import time
from collections.abc import Sequence

from deeplab_dpc.api.circumstances import circumstances
from deeplab_dpc.api.loaded_predictor import LoadedPredictor
from deeplab_dpc.config import InferenceConfig, JudgeConfig
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.run_data import class_difference
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.advice import advice
from deeplab_dpc.evaluation.bootstrap import Bootstrap
from deeplab_dpc.evaluation.branch_weights import branch_weights
from deeplab_dpc.evaluation.confusion import ConfusionMatrix
from deeplab_dpc.evaluation.evaluator import OnImage, evaluate
from deeplab_dpc.evaluation.judge import Judge
from deeplab_dpc.evaluation.measures import metrics_of
from deeplab_dpc.evaluation.report import Report, ignored_class


def require_same_classes(loaded: LoadedPredictor, dataset: Dataset) -> None:
    """Raises a UserError if the names of as many classes differ; evaluate refuses another number of classes."""
    if len(loaded.class_names) != dataset.info.num_classes:
        return
    difference = class_difference(loaded.class_names, dataset.info.class_names)
    if difference is not None:
        raise UserError(
            f"The classes of the network, {loaded.source}, are not those of the data set in {dataset.path}: "
            f"{difference}; give data with the network's classes, or --nocheck_class_names where the names differ "
            "and the ids mean the same."
        )


def judge_predictor(
    loaded: LoadedPredictor,
    dataset: Dataset,
    split: str,
    judging: JudgeConfig,
    bootstrap: Bootstrap,
    inference: InferenceConfig,
    *,
    progress: bool = True,
    on_image: Sequence[OnImage] = (),
) -> tuple[Report, ConfusionMatrix]:
    """Evaluates a predictor on whole images, each at its own size.

    Args:
      loaded: predictor with its source.
      dataset: prepared data set with the classes of the predictor.
      split: name of the split, which has labels.
      judging: configuration of the measures.
      bootstrap: resamples of the images, as many as in the configuration.
      inference: configuration of the prediction, for the report; an exported model has its own.
      progress: bool, whether to show a progress bar.
      on_image: functions called with each counted image, in the order of the split.

    Returns:
      The report, and the confusion matrix of all images.

    Raises:
      UserError: as raised by `evaluate` of evaluator.py.
    """
    known = circumstances(loaded, dataset, split)
    judge = Judge(dataset.info, judging)
    start = time.perf_counter()
    confusion = evaluate(loaded.predictor, dataset, split, progress=progress, on_image=[judge.add, *on_image])
    seconds = time.perf_counter() - start
    measured = judge.measured()
    network = loaded.network
    report = Report(
        source=loaded.source,
        step=loaded.step,
        info=dataset.info,
        split=split,
        inference=None if network is None else inference,
        judging=judging,
        measured=measured,
        metrics=tuple(metrics_of(one, bootstrap) for one in measured),
        branch_weights=() if network is None or loaded.cell is None else tuple(branch_weights(network)),
        seconds=seconds,
        advice=advice(dataset.info.class_names, measured[0].counts, known, ignored_class(dataset.info)),
    )
    return report, confusion
