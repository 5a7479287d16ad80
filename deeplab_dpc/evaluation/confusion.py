"""The confusion matrix and what follows from it.

scores.py has the conventions. A class whose id is the ignore label (ADE20K: 151 outputs, 0 ignored) can have no label.
Predicting it on a labelled pixel is a miss of the true class and no more: the class has no IoU and is not in the mean,
as in the benchmark's own evaluation of 150 classes (github.com/CSAILVision/sceneparsing). tf.metrics.mean_iou, which
the published DeepLab code uses, would count it with IoU 0 once a single pixel is predicted so, that is 150/151 of the
figure here. How many pixels were is among the metrics.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.categories import category_ids, category_names
from deeplab_dpc.evaluation.scores import SUMMARIES, ClassSums

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

    def sums(self) -> ClassSums:
        """Pixels by class; predictions of the ignored class are no class's.

        Raises:
          UserError: if no pixel was counted.
        """
        self._check_counted()
        return ClassSums(self.matrix.sum(axis=1), self._predicted(self.matrix), np.diagonal(self.matrix))

    def category_sums(self, categories: Sequence[str]) -> ClassSums:
        """Pixels by category, in the order of `category_names`.

        Args:
          categories: categories of each class, empty text for none.

        Raises:
          UserError: if there is not one a class, or if no pixel was counted.
        """
        self._check_counted()
        if len(categories) != self.num_classes:
            raise UserError(f"`categories` must be one of each of {self.num_classes} classes, got {list(categories)}.")
        members = np.eye(len(category_names(categories)) + 1, dtype=np.int64)[category_ids(categories), :-1]
        matrix = self.matrix * members.any(axis=1, keepdims=True)  # without labels that have no category
        true_positives = np.diagonal(members.T @ matrix @ members)
        return ClassSums(matrix.sum(axis=1) @ members, self._predicted(matrix) @ members, true_positives)

    def occurring(self) -> tuple[int, int]:
        """Returns the number of classes that occur in the labels, and of those that can: all but the ignored one."""
        return int((self.matrix.sum(axis=1) > 0).sum()), self.num_classes - (self.ignore_label < self.num_classes)

    def per_class_iou(self) -> np.ndarray:
        """IoU = TP / (TP + FP + FN), float64 [num_classes]; nan for absent classes and the ignored one."""
        return self.sums().per_class_iou()

    def mean_iou(self) -> float:
        """Returns the mean IoU of the classes that occur in the labels or in the predictions, without the ignored
        one."""
        return float(self.sums().mean_iou())

    def pixel_accuracy(self) -> float:
        """Returns the fraction of counted pixels whose prediction is their label."""
        return float(self.sums().pixel_accuracy())

    def mean_class_accuracy(self) -> float:
        """Returns the mean, over the classes that occur in the labels, of the fraction of their pixels predicted
        right."""
        return float(self.sums().mean_class_accuracy())

    def frequency_weighted_iou(self) -> float:
        """Returns the mean IoU weighted by the classes' labelled pixels."""
        return float(self.sums().frequency_weighted_iou())

    def metrics(self, class_names: Sequence[str], categories: Sequence[str] = ()) -> dict[str, Any]:
        """Returns all of these ready for JSON; the IoU of an absent class is None.

        With categories their IoU and its mean are there too; with a class that is the ignored one, its name and how
        many labelled pixels were predicted so.

        Raises:
          UserError: if there is not one distinct name a class, or if no pixel was counted.
        """
        if len(class_names) != self.num_classes or len(set(class_names)) != self.num_classes:
            raise UserError(f"`class_names` must be {self.num_classes} distinct names, got {list(class_names)}.")
        sums = self.sums()
        iou = _named(class_names, sums.per_class_iou())
        ignored = class_names[self.ignore_label] if self.ignore_label < self.num_classes else None
        found = {name: float(summary(sums)) for name, summary in SUMMARIES.items()} | {
            "per_class_iou": iou,
            "absent_classes": [name for name, value in iou.items() if value is None and name != ignored],
            "num_pixels": int(self.matrix.sum()),
        }
        if ignored is not None:
            found["ignored_class"] = ignored
            found["pixels_predicted_as_ignored_class"] = int(self.matrix[:, self.ignore_label].sum())
        if categories:
            by_category = self.category_sums(categories)
            found["category_miou"] = float(by_category.mean_iou())
            found["per_category_iou"] = _named(category_names(categories), by_category.per_class_iou())
        return found

    def _predicted(self, matrix: np.ndarray) -> np.ndarray:
        """Pixels by prediction, but for the ignored class."""
        return np.where(np.arange(self.num_classes) == self.ignore_label, 0, matrix.sum(axis=0))

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


def _named(names: Sequence[str], values: np.ndarray) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else float(value) for name, value in zip(names, values, strict=True)}


def _integers(what: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.integer):
        raise UserError(f"The {what} must be integers, got {array.dtype}.")
    return array
