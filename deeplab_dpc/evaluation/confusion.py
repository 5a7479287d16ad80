"""The confusion matrix: pixels counted by label and prediction, once for each image (counted_image.py).

All metrics by class and category, the picture of the matrix and the worst images follow from these counts;
class_sums.py describes the conventions. A class whose id is the ignore label (ADE20K: 151 outputs, 0 ignored) has no
labels. If it is predicted on a labelled pixel, this is only a false negative of the true class: the ignored class has
no IoU and is not in the mean, as in the benchmark's own evaluation of 150 classes
(github.com/CSAILVision/sceneparsing). tf.metrics.mean_iou, which the published DeepLab code uses, would count it with
IoU 0 once it is predicted on a single pixel, so that the mean would be 150/151 of the value here. The number of such
pixels is in metrics.json.
"""

from typing import Any

import numpy as np

from deeplab_dpc.errors import UserError, first_few
from deeplab_dpc.evaluation.class_sums import ClassSums

MAX_VALUES_SHOWN = 5  # number of wrong ids in an error


class ConfusionMatrix:
    """A confusion matrix of pixels; each pixel is counted, is ignored because of its label, or raises an error.

    Attributes:
      matrix: int64 [num_classes, num_classes]; rows are labels, columns predictions.

    Args:
      num_classes: number of classes, >= 1.
      ignore_label: id of pixels that are not counted.
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
          UserError: if the shapes differ, a label is not a class or `ignore_label`, or a prediction is not a class.
            Nothing is counted in this case.
        """
        labels, predictions = _integers("labels", labels), _integers("predictions", predictions)
        if labels.shape != predictions.shape:
            raise UserError(
                f"Labels and predictions must have the same shape, got {labels.shape} and {predictions.shape}."
            )
        counted = labels != self.ignore_label
        self._check_classes("Labels", labels[counted], f" or the ignore label {self.ignore_label}")
        self._check_classes("Predictions", predictions)
        self.matrix += matrix_of_pixels(labels[counted], predictions[counted], self.num_classes)

    def sums(self) -> ClassSums:
        """Returns the pixels by class, see `class_sums`.

        Raises:
          UserError: if no pixel was counted.
        """
        if not self.matrix.any():
            raise UserError(
                f"No labelled pixel was counted: none was given, or all have the ignore label {self.ignore_label}."
            )
        return class_sums(self.matrix, self.ignore_label)

    def mean_iou(self) -> float:
        """Returns the mean IoU of the classes in the labels or in the predictions, without the ignored class."""
        return float(self.sums().mean_iou())

    def pixel_accuracy(self) -> float:
        """Returns the fraction of counted pixels whose prediction equals the label."""
        return float(self.sums().pixel_accuracy())

    def _check_classes(self, what: str, values: np.ndarray, alternative: str = "") -> None:
        if values.size == 0 or (values.min() >= 0 and values.max() < self.num_classes):
            return
        wrong = np.unique(values[(values < 0) | (values >= self.num_classes)]).tolist()
        shown = first_few(wrong, MAX_VALUES_SHOWN)
        raise UserError(f"{what} must be in [0, {self.num_classes - 1}]{alternative}, got {shown}.")


def matrix_of_pixels(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """Returns the number of pixels by label and prediction, int64 [num_classes, num_classes].

    Args:
      labels, predictions: class ids in [0, num_classes), integers [pixels].
      num_classes: number of classes.
    """
    cells = labels.astype(np.int64) * num_classes + predictions.astype(np.int64)
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def class_sums(matrix: np.ndarray, ignore_label: int) -> ClassSums:
    """Returns the pixels by class of a matrix of counted pixels, int64 [num_classes, num_classes]."""
    predicted = without_ignored(matrix.sum(axis=0), ignore_label)
    return ClassSums(matrix.sum(axis=1), predicted, np.diagonal(matrix))


def without_ignored(predicted: np.ndarray, ignore_label: int) -> np.ndarray:
    """Returns numbers of predicted pixels [..., classes] with 0 for the ignored class, if there is one."""
    return np.where(np.arange(predicted.shape[-1]) == ignore_label, 0, predicted)


def _integers(what: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.integer):
        raise UserError(f"The {what} must be integers, got {array.dtype}.")
    return array
