"""Pixels by class or category, counted for each image, from which the metrics of any resample of the images follow.

A category is a group of classes, as Cityscapes defines it (Cordts et al., arXiv:1604.01685, Sec. 4.2). A prediction is
correct if its class is in the category of the label. Pixels whose label has no category are not counted, like void in
the official evaluation; a prediction without a category is wrong.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.class_sums import ClassSums
from deeplab_dpc.evaluation.confusion import class_sums, without_ignored
from deeplab_dpc.evaluation.counted_image import CountedImage

# Function from an image to its pixels by class or category, int64 [classes].
CountRule = Callable[[CountedImage], ClassSums]


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
        self._counts: list[ClassSums] = []

    def add(self, image: CountedImage) -> None:
        """Counts an image; an OnImage of evaluator.py."""
        self._names.append(image.name)
        self._counts.append(self._rule(image))

    def counts(self) -> ImageCounts:
        """Returns the counts of the images added so far.

        Raises:
          UserError: if there is no image.
        """
        if not self._counts:
            raise UserError("No image was evaluated.")
        return ImageCounts(
            tuple(self._names),
            np.stack([sums.labelled for sums in self._counts]),
            np.stack([sums.predicted for sums in self._counts]),
            np.stack([sums.true_positives for sums in self._counts]),
        )


def by_class(image: CountedImage) -> ClassSums:
    """Returns the pixels of an image by class; the CountRule of the metrics by class."""
    return class_sums(image.confusion.matrix, image.confusion.ignore_label)


def category_names(categories: Sequence[str]) -> tuple[str, ...]:
    """Returns the distinct categories in the order of their first class; empty text means no category."""
    return tuple(dict.fromkeys(name for name in categories if name))


def category_ids(categories: Sequence[str]) -> np.ndarray:
    """Returns the index of each class's category in `category_names`, int64 [classes]; the number of categories for a
    class without one.
    """
    names = category_names(categories)
    return np.array([names.index(name) if name else len(names) for name in categories], np.int64)


def category_rule(categories: tuple[str, ...]) -> CountRule:
    """Returns the rule that counts pixels by category, in the order of `category_names`.

    Labels without a category are not counted, and predictions without one, or of the ignored class, are of no category.

    Args:
      categories: category of each class; empty text for none.
    """
    # Whether each class belongs to each category, int64 [classes, categories].
    members = (category_ids(categories)[:, np.newaxis] == np.arange(len(category_names(categories)))).astype(np.int64)

    def count(image: CountedImage) -> ClassSums:
        labelled = members.T @ image.confusion.matrix  # [categories of the labels, classes of the predictions]
        predicted = without_ignored(labelled, image.confusion.ignore_label) @ members
        return ClassSums(labelled.sum(axis=1), predicted.sum(axis=0), np.diagonal(predicted))

    return count
