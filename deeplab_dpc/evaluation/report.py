"""The files of an evaluation, in <run directory or --eval_logdir>/eval_<split>/.

metrics.json    all metrics, their 95 % intervals, and the configuration of the evaluation
per_class.csv   one row per class
per_image.npz   the counts of every image (stored.py)
history.csv     one row per evaluation, if the evaluation waits for several checkpoints
*.png           pictures: confusion.png, worst.png, and branches.png of a network with a cell
"""

import csv
import dataclasses
import math
import pathlib
from typing import Any

import numpy as np

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.config import InferenceConfig, JudgeConfig
from deeplab_dpc.data.dataset_info import DatasetInfo
from deeplab_dpc.evaluation.bootstrap import CONFIDENCE
from deeplab_dpc.evaluation.branch_weights import draw_branch_weights
from deeplab_dpc.evaluation.class_sums import ClassSums
from deeplab_dpc.evaluation.confusion import ConfusionMatrix
from deeplab_dpc.evaluation.confusion_plot import draw_confusion
from deeplab_dpc.evaluation.measures import BY_CATEGORY, BY_CLASS, Measured, MetricInterval, Metrics
from deeplab_dpc.evaluation.stored import StoredEvaluation, Subject, write_evaluation
from deeplab_dpc.evaluation.visualize import save_rgb_png
from deeplab_dpc.evaluation.worst import WorstImages
from deeplab_dpc.files import atomic_path, write_json

METRICS_FILE = "metrics.json"
PER_CLASS_FILE = "per_class.csv"
HISTORY_FILE = "history.csv"
CONFUSION_FILE, WORST_FILE, BRANCHES_FILE = "confusion.png", "worst.png", "branches.png"


@dataclasses.dataclass(frozen=True)
class Report:
    """The results of an evaluation.

    Attributes:
      source: source of the weights as text.
      step: training step of the run; None if the network is not from a run.
      info: metadata of the data set.
      split: name of the evaluated split.
      inference: configuration of the prediction; None for an exported model, which has its own.
      judging: configuration of the measures.
      measured: counts of the images by measure; the measure by class is first.
      metrics: metrics of each measure, in the same order.
      branch_weights: branch weights of the network's cell, see branch_weights.py; empty without a cell.
      seconds: duration of reading, predicting and counting all images, in seconds.
      advice: lines of advice on low scores, see advice.py.
    """

    source: str
    step: int | None
    info: DatasetInfo
    split: str
    inference: InferenceConfig | None
    judging: JudgeConfig
    measured: tuple[Measured, ...]
    metrics: tuple[Metrics, ...]
    branch_weights: tuple[float, ...]
    seconds: float
    advice: tuple[str, ...] = ()

    @property
    def num_images(self) -> int:
        return len(self.measured[0].counts.names)

    def sums(self) -> ClassSums:
        """Returns the pixels of all images by class."""
        return self.measured[0].counts.sums()

    def occurring(self) -> tuple[int, int]:
        """Returns the number of classes that occur in the labels, and of those that can occur."""
        return self.sums().occurring(self.info.ignore_label)

    def predicted_as_ignored(self) -> int:
        """Returns the number of labelled pixels that are predicted as the ignored class, not as any other class."""
        sums = self.sums()
        return int(sums.labelled.sum() - sums.predicted.sum())

    def summary(self) -> dict[str, MetricInterval]:
        """Returns all metrics that are one number, by name."""
        return {name: metric for found in self.metrics for name, metric in found.summary.items()}

    def ignored_class(self) -> str | None:
        """Returns the name of the class whose id is the ignore label, which has no IoU; None if there is none."""
        return ignored_class(self.info)


def ignored_class(info: DatasetInfo) -> str | None:
    """Returns the name of the class whose id is the ignore label; None if there is none."""
    return info.class_names[info.ignore_label] if info.ignore_label < info.num_classes else None


def metrics_json(report: Report) -> dict[str, Any]:
    """Returns the contents of metrics.json; values that do not exist are None."""
    found: dict[str, Any] = {
        "source": report.source,
        "step": report.step,
        "dataset": report.info.name,
        "split": report.split,
        "num_images": report.num_images,
        "seconds": round(report.seconds, 3),
        "inference": report.inference.to_json() if report.inference else None,
        "judging": report.judging.to_json(),
    }
    metrics = {
        one.measure: {name: _number(metric.value) for name, metric in its.summary.items()}
        | {one.measure.each: {name: _number(metric.value) for name, metric in its.each.items()}}
        for one, its in zip(report.measured, report.metrics, strict=True)
    }
    found |= metrics.pop(BY_CLASS) | _pixels(report) | metrics.pop(BY_CATEGORY, {})
    found["classes_in_labels"], found["num_classes"] = report.occurring()
    for others in metrics.values():
        found |= others
    intervals: dict[str, Any] = {"confidence": CONFIDENCE, "resamples": report.judging.bootstrap_resamples}
    for one, its in zip(report.measured, report.metrics, strict=True):
        intervals |= {name: _interval(metric) for name, metric in its.summary.items()}
        intervals[one.measure.each] = {name: _interval(metric) for name, metric in its.each.items()}
    if report.advice:
        found["advice"] = list(report.advice)
    if report.branch_weights:
        found["branch_weights"] = list(report.branch_weights)
    return found | {"intervals": intervals}


def write_report(folder: pathlib.Path, report: Report) -> None:
    """Writes per_image.npz, per_class.csv and metrics.json, in this order, each atomically."""
    subject = Subject(report.info.name, report.split, report.info.class_names, report.info.ignore_label)
    write_evaluation(folder, StoredEvaluation(subject, report.measured))
    _write_per_class(folder / PER_CLASS_FILE, report)
    write_json(folder / METRICS_FILE, metrics_json(report))


def write_pictures(
    folder: pathlib.Path, report: Report, confusion: ConfusionMatrix, worst: WorstImages | None, cell: Cell | None
) -> None:
    """Writes the pictures, and removes those of an earlier evaluation that this one does not have.

    Args:
      folder: folder of the pictures.
      report: results of the evaluation.
      confusion: confusion matrix of all images.
      worst: worst images of the evaluation; None for no worst.png.
      cell: cell of the network; None if it has none.
    """
    draw_confusion(confusion.matrix, report.info.class_names, folder / CONFUSION_FILE)
    if worst is not None:
        save_rgb_png(folder / WORST_FILE, worst.draw())
    else:
        (folder / WORST_FILE).unlink(missing_ok=True)
    if cell is not None:
        draw_branch_weights(cell, report.branch_weights, folder / BRANCHES_FILE)
    else:
        (folder / BRANCHES_FILE).unlink(missing_ok=True)


def append_history(folder: pathlib.Path, report: Report) -> None:
    """Adds the row of an evaluation to history.csv, in place of an earlier one of the same step; columns that are new
    are empty in earlier rows.
    """
    path = folder / HISTORY_FILE
    rows = []
    if path.exists():
        with open(path, newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    row = {"step": str(report.step), "images": str(report.num_images), "seconds": f"{report.seconds:.1f}"}
    for name, metric in report.summary().items():
        bounds = {name: metric.value, f"{name}_low": metric.low, f"{name}_high": metric.high}
        row |= {key: _cell(value) for key, value in bounds.items()}
    rows = [*(earlier for earlier in rows if earlier["step"] != row["step"]), row]
    columns = list(dict.fromkeys(column for each in rows for column in each))
    with atomic_path(path) as partial, open(partial, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def _pixels(report: Report) -> dict[str, Any]:
    """Returns the absent classes and the numbers of pixels, as in metrics.json."""
    ignored = report.ignored_class()
    iou = report.metrics[0].each
    found: dict[str, Any] = {
        "absent_classes": [name for name, metric in iou.items() if math.isnan(metric.value) and name != ignored],
        "num_pixels": int(report.sums().labelled.sum()),
    }
    if ignored is not None:
        found |= {"ignored_class": ignored, "pixels_predicted_as_ignored_class": report.predicted_as_ignored()}
    return found


def _interval(metric: MetricInterval) -> list[float] | None:
    """Returns [low, high], or None if there is no interval."""
    return None if math.isnan(metric.low) else [metric.low, metric.high]


def _write_per_class(path: pathlib.Path, report: Report) -> None:
    sums = report.sums()
    accuracy, share = sums.per_class_accuracy(), sums.labelled / np.sum(sums.labelled)
    by_class = [
        (one.measure.each.removeprefix("per_class_"), its.each)
        for one, its in zip(report.measured, report.metrics, strict=True)
        if one.measure is not BY_CATEGORY
    ]
    columns = [name + end for name, _ in by_class for end in ("", "_low", "_high")]
    with atomic_path(path) as partial, open(partial, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["class", "category", *columns, "accuracy", "label_share"])
        for i, name in enumerate(report.info.class_names):
            values = [value for _, each in by_class for value in dataclasses.astuple(each[name])]
            category = report.info.categories[i] if report.info.categories else ""
            writer.writerow([name, category, *map(_cell, [*values, accuracy[i], share[i]])])


def _cell(value: float) -> str:
    """Returns a number as text for a CSV file; empty for nan."""
    return "" if math.isnan(value) else f"{value:.6f}"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
