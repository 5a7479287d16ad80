"""Pixels counted by label and prediction: which class is taken for which, and the sums that metrics follow from.

class_sums.py has the conventions. A class whose id is the ignore label (ADE20K: 151 outputs, 0 ignored) can have no
label. Predicting it on a labelled pixel is a miss of the true class and no more: the class has no IoU and is not in the
mean, as in the benchmark's own evaluation of 150 classes (github.com/CSAILVision/sceneparsing). tf.metrics.mean_iou,
which the published DeepLab code uses, would count it with IoU 0 once a single pixel is predicted so, that is 150/151 of
the figure here. How many pixels were is in metrics.json.
"""

from typing import Any

import numpy as np

from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.class_sums import ClassSums

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

    def sums(self) -> ClassSums:
        """Returns the pixels by class; predictions of the ignored class are no class's.

        Raises:
          UserError: if no pixel was counted.
        """
        if not self.matrix.any():
            raise UserError(
                f"No labelled pixel was counted: none was given, or all have the ignore label {self.ignore_label}."
            )
        predicted = np.where(np.arange(self.num_classes) == self.ignore_label, 0, self.matrix.sum(axis=0))
        return ClassSums(self.matrix.sum(axis=1), predicted, np.diagonal(self.matrix))

    def mean_iou(self) -> float:
        """Returns the mean IoU of the classes that occur in the labels or in the predictions, without the ignored
        one."""
        return float(self.sums().mean_iou())

    def pixel_accuracy(self) -> float:
        """Returns the fraction of counted pixels whose prediction is their label."""
        return float(self.sums().pixel_accuracy())

    def _check_classes(self, what: str, values: np.ndarray, alternative: str = "") -> None:
        if values.size == 0 or (values.min() >= 0 and values.max() < self.num_classes):
            return
        wrong = np.unique(values[(values < 0) | (values >= self.num_classes)]).tolist()
        shown = ", ".join(map(str, wrong[:MAX_VALUES_SHOWN])) + (", ..." if len(wrong) > MAX_VALUES_SHOWN else "")
        raise UserError(f"{what} must be in [0, {self.num_classes - 1}]{alternative}, got {shown}.")


def _integers(what: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.integer):
        raise UserError(f"The {what} must be integers, got {array.dtype}.")
    return array
