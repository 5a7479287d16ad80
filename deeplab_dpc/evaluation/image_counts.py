"""Pixels counted by class for each image, from which the metrics of any resample of the images are computed."""

import dataclasses
from collections.abc import Callable

import numpy as np

from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.categories import category_ids, category_names
from deeplab_dpc.evaluation.class_sums import ClassSums

# Function from labels and predictions, class ids [height, width], to the numbers of labelled pixels, predicted pixels
# and true positives, int64 [3, classes].
CountRule = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class ImageCounts:
    """The counts of `ClassSums` for each of n images.

    Attributes:
      names: names of the images, in the order of the split.
      labelled, predicted, true_positives: numbers of pixels, int64 [n, classes].
    """

    names: tuple[str, ...]
    labelled: np.ndarray
    predicted: np.ndarray
    true_positives: np.ndarray

    def __post_init__(self) -> None:
        shapes = {self.labelled.shape, self.predicted.shape, self.true_positives.shape}
        if len(shapes) != 1 or len(self.labelled.shape) != 2 or len(self.names) != len(self.labelled):
            raise UserError(f"Counts must be [images, classes] of {len(self.names)} images, got {sorted(shapes)}.")

    def sums(self) -> ClassSums:
        """Returns the sums over all images."""
        return ClassSums(self.labelled.sum(axis=0), self.predicted.sum(axis=0), self.true_positives.sum(axis=0))


class ImageCounter:
    """A counter of the pixels of images that are added one by one.

    Args:
      rule: function that counts the pixels of an image.
    """

    def __init__(self, rule: CountRule):
        self._rule = rule
        self._names: list[str] = []
        self._counts: list[np.ndarray] = []

    def add(self, name: str, image: np.ndarray, label: np.ndarray, prediction: np.ndarray) -> None:
        """Counts an image with checked labels and predictions; an OnImage of evaluator.py."""
        self._names.append(name)
        self._counts.append(self._rule(label, prediction))

    def counts(self) -> ImageCounts:
        """Returns the counts of the images added so far.

        Raises:
          UserError: if there is no image.
        """
        if not self._counts:
            raise UserError("No image was evaluated.")
        labelled, predicted, true_positives = np.stack(self._counts, axis=1)
        return ImageCounts(tuple(self._names), labelled, predicted, true_positives)


def class_rule(num_classes: int, ignore_label: int) -> CountRule:
    """Returns the rule that counts the same pixels as the confusion matrix."""

    def count(label: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        counted = label != ignore_label
        return count_pixels(label[counted], prediction[counted], num_classes, ignore_label)

    return count


def category_rule(categories: tuple[str, ...], ignore_label: int) -> CountRule:
    """Returns the rule that counts pixels by category, in the order of `category_names`.

    Args:
      categories: category of each class; empty text for none.
      ignore_label: id of pixels that are not counted.
    """
    ids, number = category_ids(categories), len(category_names(categories))

    def count(label: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        counted = label != ignore_label
        labels = ids[label[counted]]
        predictions = np.where(prediction[counted] == ignore_label, number, ids[prediction[counted]])
        return count_pixels(labels[labels < number], predictions[labels < number], number, ignore_label=number)

    return count


def count_pixels(labels: np.ndarray, predictions: np.ndarray, num_classes: int, ignore_label: int) -> np.ndarray:
    """Returns the numbers of labelled pixels, predicted pixels and true positives, int64 [3, num_classes].

    Args:
      labels, predictions: class ids of the counted pixels, [pixels].
      num_classes: number of classes; ids from `num_classes` on are not counted.
      ignore_label: id whose predictions are not counted as predicted, see confusion.py.
    """
    predicted = predictions[predictions != ignore_label]
    parts = (labels, predicted, labels[labels == predictions])
    return np.stack([np.bincount(part, minlength=num_classes)[:num_classes] for part in parts])
