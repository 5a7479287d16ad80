"""The evaluation of a loaded predictor, for the command eval and the function `evaluate`.

The facts for its advice are the data set's counts, the run's crop and its losses.
"""

import csv
import pathlib
import time
from collections.abc import Sequence

from deeplab_dpc.api.loaded_predictor import LoadedPredictor
from deeplab_dpc.config import DataConfig, InferenceConfig, JudgeConfig, TrainConfig
from deeplab_dpc.data.absent_classes import read_label_counts, read_labelled_with
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.label_statistics import class_shares, label_weights
from deeplab_dpc.data.run_data import class_difference
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.advice import USUAL_STRIDE, Circumstances, advice
from deeplab_dpc.evaluation.bootstrap import Bootstrap
from deeplab_dpc.evaluation.branch_weights import branch_weights
from deeplab_dpc.evaluation.confusion import ConfusionMatrix
from deeplab_dpc.evaluation.evaluator import OnImage, evaluate
from deeplab_dpc.evaluation.judge import Judge
from deeplab_dpc.evaluation.measures import metrics_of
from deeplab_dpc.evaluation.report import Report, ignored_class
from deeplab_dpc.run_config import CONFIG_FILE, read_section

METRICS_FILE = "metrics.csv"
LOSSES = ("cross_entropy", "loss")  # columns, of which the first that exists is read
TRAIN = "train"


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
    known = _circumstances(loaded, dataset, split)
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


def _circumstances(loaded: LoadedPredictor, dataset: Dataset, split: str) -> Circumstances:
    """Returns the facts on the data set, the crops and the losses.

    Args:
      loaded: predictor that is evaluated.
      dataset: data set on which it is evaluated.
      split: split of the data set.
    """
    pixels = (read_label_counts(dataset) or {}).get(TRAIN)
    labelled_with = (read_labelled_with(dataset) or {}).get(TRAIN)
    counted = None if pixels is None or labelled_with is None else (pixels, labelled_with)
    config = loaded.network.config if loaded.network is not None else None
    run = loaded.workdir if loaded.workdir is not None and (loaded.workdir / CONFIG_FILE).exists() else None
    rows = _rows(run) if run is not None else []
    return Circumstances(
        split=split,
        train_shares=None if pixels is None else class_shares(pixels, dataset.info),
        label_weights=None if counted is None else label_weights(*counted, dataset.info),
        crop=read_section(run, "data", DataConfig).train_crop_size if run is not None else None,
        output_stride=config.output_stride if config is not None else USUAL_STRIDE,
        has_decoder=bool(config.decoder_output_stride) if config is not None else None,
        is_weighted=run is not None and bool(read_section(run, "train", TrainConfig).label_weights),
        epochs=_epochs(rows, loaded.step),
        losses=_losses(rows),
    )


def _rows(run: pathlib.Path) -> list[dict[str, str]]:
    """Returns the rows of a run's metrics, as text by column; none without the file."""
    path = run / METRICS_FILE
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", errors="replace", newline="") as stream:
        return list(csv.DictReader(stream))


def _epochs(rows: list[dict[str, str]], step: int | None) -> float | None:
    """Returns the number of epochs until a step; None if the table does not have it, see `_losses`."""
    try:
        found = [float(row["epoch"]) for row in rows if row.get("epoch") and int(row["step"]) <= (step or 0)]
    except (KeyError, ValueError):
        return None
    return found[-1] if found else None


def _losses(rows: list[dict[str, str]]) -> list[float]:
    """Returns the losses of a run's rows; none if the table cannot be read, since another program may have made it."""
    column = next((name for name in LOSSES if rows and rows[0].get(name)), None)
    try:
        return [float(row[column]) for row in rows if row.get(column)] if column else []
    except ValueError:
        return []
