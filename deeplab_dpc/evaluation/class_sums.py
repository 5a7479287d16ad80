"""IoU and accuracies from pixels counted by class (Long et al., arXiv:1411.4038, Sec. 5).

A class that is in neither labels nor predictions is absent: its IoU is nan, and the mean is over the other classes. A
class that is only predicted has IoU 0 and counts, as in tf.metrics.mean_iou, which the published results used.
"""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class ClassSums:
    """The pixels by class of one evaluation, or of many resamples of it; every method keeps the leading axes.

    Attributes:
      labelled: number of pixels whose label is the class (true positives and false negatives), [..., classes].
      predicted: number of counted pixels whose prediction is the class (true and false positives), [..., classes].
      true_positives: number of pixels whose label and prediction are the class, [..., classes].
    """

    labelled: np.ndarray
    predicted: np.ndarray
    true_positives: np.ndarray

    def per_class_iou(self) -> np.ndarray:
        """Returns IoU = TP / (TP + FP + FN), float64 [..., classes]; nan for absent classes."""
        return ratio(self.true_positives, self.labelled + self.predicted - self.true_positives)

    def mean_iou(self) -> np.ndarray:
        """Returns the mean IoU of the classes that occur in the labels or in the predictions, [...]."""
        return _mean(self.per_class_iou())

    def per_class_accuracy(self) -> np.ndarray:
        """Returns the fraction of each class's pixels that are predicted right, [..., classes]; nan for a class without
        labels.
        """
        return ratio(self.true_positives, self.labelled)

    def mean_class_accuracy(self) -> np.ndarray:
        """Returns the mean accuracy of the classes that occur in the labels, [...]."""
        return _mean(self.per_class_accuracy())

    def pixel_accuracy(self) -> np.ndarray:
        """Returns the fraction of counted pixels whose prediction equals the label, [...]."""
        return ratio(self.true_positives.sum(axis=-1), self.labelled.sum(axis=-1))

    def frequency_weighted_iou(self) -> np.ndarray:
        """Returns the mean IoU of the classes in the labels, weighted by their labelled pixels, [...]."""
        weighted = np.nan_to_num(self.per_class_iou()) * self.labelled
        return ratio(weighted.sum(axis=-1), self.labelled.sum(axis=-1))

    def occurring(self, ignore_label: int) -> tuple[int, int]:
        """Returns the number of classes that occur in the labels of one evaluation, and of those that can occur: all
        but the ignored one.
        """
        num_classes = len(self.labelled)
        return int((self.labelled > 0).sum()), num_classes - (ignore_label < num_classes)


# Metrics by their names in metrics.json.
SUMMARIES: dict[str, Callable[[ClassSums], np.ndarray]] = {
    "miou": ClassSums.mean_iou,
    "pixel_accuracy": ClassSums.pixel_accuracy,
    "mean_class_accuracy": ClassSums.mean_class_accuracy,
    "frequency_weighted_iou": ClassSums.frequency_weighted_iou,
}


def occurrence_note(occurring: int, num_classes: int) -> str:
    """Returns a remark on a mean over fewer classes than exist; empty if all classes occur."""
    if occurring == num_classes:
        return ""
    return f"only {occurring} of {num_classes} classes {'occurs' if occurring == 1 else 'occur'}"


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Returns part / whole, float64; nan where `whole` is 0."""
    part, whole = np.asarray(part), np.asarray(whole)
    quotient: np.ndarray = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return quotient


def _mean(values: np.ndarray) -> np.ndarray:
    """Returns the mean of the values that are not nan over the last axis; nan if all are."""
    return ratio(np.nansum(values, axis=-1), np.sum(~np.isnan(values), axis=-1))
