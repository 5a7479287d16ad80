"""The confusion matrix and what follows from it: mIOU, pixel and class accuracy (Long et al., arXiv:1411.4038, Sec. 5).

mIOU is the mean over the classes that occur in the labels or in the predictions, as published DeepLab results have it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from deeplab_dpc.errors import UserError

MAX_VALUES_SHOWN = 5  # of wrong ids in an error


class ConfusionMatrix:
    """Counts pixels by label and prediction; every pixel is counted, ignored by its label, or an error.

    Attributes:
      matrix: int64 [num_classes, num_classes]; rows are labels, columns predictions.

    Args:
      num_classes: >= 1.
      ignore_label: pixels with this label are not counted.
    """

    def __init__(self, num_classes: int, ignore_label: int = 255):
        if num_classes < 1:
            raise UserError(f"`num_classes` must be >= 1, got {num_classes}.")
        self.num_classes = num_classes
        self.ignore_label = ignore_label
        self.matrix = np.zeros((num_classes, num_classes), np.int64)

    def update(self, labels: Any, predictions: Any) -> None:
        """Counts the pixels of two integer arrays of the same shape.

        Raises:
          UserError: if the shapes differ, if a label is neither a class nor `ignore_label`, or if a prediction is
            no class; then nothing is counted.
        """
        labels, predictions = _integers("labels", labels), _integers("predictions", predictions)
        if labels.shape != predictions.shape:
            raise UserError(
                f"Labels and predictions must have the same shape, got {labels.shape} and {predictions.shape}."
            )
        counted = labels != self.ignore_label
        self._check_classes("Labels", labels[counted], f" or the ignore label {self.ignore_label}")
        self._check_classes("Predictions", predictions)
        cells = labels[counted].astype(np.int64) * self.num_classes + predictions[counted].astype(np.int64)
        self.matrix += np.bincount(cells, minlength=self.num_classes**2).reshape(self.matrix.shape)

    def merge(self, other: "ConfusionMatrix") -> None:
        """Adds the counts of `other`.

        Raises:
          UserError: if `other` has other classes or another ignore label.
        """
        if (self.num_classes, self.ignore_label) != (other.num_classes, other.ignore_label):
            raise UserError(
                f"Only equal classes and ignore labels can be merged, got {self.num_classes} and {other.num_classes} "
                f"classes, ignore labels {self.ignore_label} and {other.ignore_label}."
            )
        self.matrix += other.matrix

    def per_class_iou(self) -> np.ndarray:
        """IoU = TP / (TP + FP + FN), float64 [num_classes]; nan for classes in neither labels nor predictions."""
        self._check_counted()
        true_positives = np.diagonal(self.matrix)
        union = self.matrix.sum(axis=0) + self.matrix.sum(axis=1) - true_positives
        return _ratio(true_positives, union)

    def mean_iou(self) -> float:
        """The mean IoU of the classes that occur in the labels or in the predictions."""
        return float(np.nanmean(self.per_class_iou()))

    def pixel_accuracy(self) -> float:
        """The fraction of counted pixels whose prediction is their label."""
        self._check_counted()
        return float(np.trace(self.matrix) / self.matrix.sum())

    def mean_class_accuracy(self) -> float:
        """The mean, over the classes that occur in the labels, of the fraction of their pixels predicted right."""
        self._check_counted()
        return float(np.nanmean(_ratio(np.diagonal(self.matrix), self.matrix.sum(axis=1))))

    def metrics(self, class_names: Sequence[str]) -> dict[str, Any]:
        """All of these ready for JSON; the IoU of an absent class is None.

        Raises:
          UserError: if there is not one distinct name a class, or if no pixel was counted.
        """
        if len(class_names) != self.num_classes or len(set(class_names)) != self.num_classes:
            raise UserError(f"`class_names` must be {self.num_classes} distinct names, got {list(class_names)}.")
        iou = {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(class_names, self.per_class_iou(), strict=True)
        }
        return {
            "miou": self.mean_iou(),
            "pixel_accuracy": self.pixel_accuracy(),
            "mean_class_accuracy": self.mean_class_accuracy(),
            "per_class_iou": iou,
            "absent_classes": [name for name, value in iou.items() if value is None],
            "num_pixels": int(self.matrix.sum()),
        }

    def _check_classes(self, what: str, values: np.ndarray, alternative: str = "") -> None:
        if values.size == 0 or (values.min() >= 0 and values.max() < self.num_classes):
            return
        wrong = np.unique(values[(values < 0) | (values >= self.num_classes)]).tolist()
        shown = ", ".join(map(str, wrong[:MAX_VALUES_SHOWN])) + (", ..." if len(wrong) > MAX_VALUES_SHOWN else "")
        raise UserError(f"{what} must be in [0, {self.num_classes - 1}]{alternative}, got {shown}.")

    def _check_counted(self) -> None:
        if not self.matrix.any():
            raise UserError(
                f"No labelled pixel was counted: none was given, or all have the ignore label {self.ignore_label}."
            )


def _integers(what: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.integer):
        raise UserError(f"The {what} must be integers, got {array.dtype}.")
    return array


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole in float64, nan where `whole` is 0."""
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
