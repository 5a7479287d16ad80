"""Pixels counted by class for each image, from which metrics are computed for any sample of the images."""

import dataclasses
from collections.abc import Callable

import numpy as np

from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.categories import category_ids, category_names
from deeplab_dpc.evaluation.class_sums import ClassSums

# From labels and predictions, class ids [height, width], to labelled pixels, predicted pixels and true positives,
# int64 [3, classes].
CountRule = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class ImageCounts:
    """The counts of `ClassSums` for each of n images.

    Attributes:
      names: names of the images, in the order of the split.
      labelled, predicted, true_positives: int64 [n, classes].
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
        """Of all images."""
        return ClassSums(self.labelled.sum(axis=0), self.predicted.sum(axis=0), self.true_positives.sum(axis=0))


class ImageCounter:
    """Counts the images that an evaluation hands to `add`.

    Args:
      rule: what of an image is counted.
    """

    def __init__(self, rule: CountRule):
        self._rule = rule
        self._names: list[str] = []
        self._counts: list[np.ndarray] = []

    def add(self, name: str, image: np.ndarray, label: np.ndarray, prediction: np.ndarray) -> None:
        """Counts an image; an OnImage of evaluator.py, whose labels and predictions have been checked."""
        self._names.append(name)
        self._counts.append(self._rule(label, prediction))

    def counts(self) -> ImageCounts:
        """Of the images so far.

        Raises:
          UserError: if there is none.
        """
        if not self._counts:
            raise UserError("No image was evaluated.")
        labelled, predicted, true_positives = np.stack(self._counts, axis=1)
        return ImageCounts(tuple(self._names), labelled, predicted, true_positives)


def class_rule(num_classes: int, ignore_label: int) -> CountRule:
    """Returns counts the pixels that the confusion matrix counts."""

    def count(label: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        counted = label != ignore_label
        return count_pixels(label[counted], prediction[counted], num_classes, ignore_label)

    return count


def category_rule(categories: tuple[str, ...], ignore_label: int) -> CountRule:
    """Returns counts by category, in the order of `category_names`; `categories` are of each class, empty text for
    none.
    """
    ids, number = category_ids(categories), len(category_names(categories))

    def count(label: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        counted = label != ignore_label
        labels = ids[label[counted]]
        predictions = np.where(prediction[counted] == ignore_label, number, ids[prediction[counted]])
        return count_pixels(labels[labels < number], predictions[labels < number], number, ignore_label=number)

    return count


def count_pixels(labels: np.ndarray, predictions: np.ndarray, num_classes: int, ignore_label: int) -> np.ndarray:
    """Labelled and predicted pixels and true positives, int64 [3, num_classes].

    Args:
      labels, predictions: ids [pixels] of the counted pixels.
      num_classes: ids from there on are no class.
      ignore_label: predictions of this id count for no class, see confusion.py.
    """
    predicted = predictions[predictions != ignore_label]
    parts = (labels, predicted, labels[labels == predictions])
    return np.stack([np.bincount(part, minlength=num_classes)[:num_classes] for part in parts])
