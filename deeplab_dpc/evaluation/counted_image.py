"""An image of an evaluation whose pixels are counted: once, for all metrics and pictures."""

import dataclasses

import numpy as np

from deeplab_dpc.evaluation.confusion import ConfusionMatrix


@dataclasses.dataclass(frozen=True, eq=False)
class CountedImage:
    """An image with its label, its prediction and the pixels of both by class.

    Attributes:
      name: name of the image.
      image: the image, uint8 [height, width, 3].
      label: class ids or the ignore label, integers [height, width].
      prediction: predicted class ids, integers [height, width].
      confusion: confusion matrix of the image.
    """

    name: str
    image: np.ndarray = dataclasses.field(repr=False)
    label: np.ndarray = dataclasses.field(repr=False)
    prediction: np.ndarray = dataclasses.field(repr=False)
    confusion: ConfusionMatrix = dataclasses.field(repr=False)


def count_image(
    name: str, image: np.ndarray, label: np.ndarray, prediction: np.ndarray, num_classes: int, ignore_label: int
) -> CountedImage:
    """Counts the pixels of an image.

    Args:
      name, image, label, prediction: see CountedImage.
      num_classes: number of classes.
      ignore_label: id of pixels that are not counted.

    Raises:
      UserError: as raised by ConfusionMatrix.update.
    """
    confusion = ConfusionMatrix(num_classes, ignore_label)
    confusion.update(label, prediction)
    return CountedImage(name, image, label, prediction, confusion)
