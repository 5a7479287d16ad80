"""The agreement between the predictions of an exported model and of the Keras model, on real images."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from deeplab_dpc.errors import UserError
from deeplab_dpc.models.image_predictor import ImagePredictor


@dataclasses.dataclass(frozen=True)
class Agreement:
    """The agreement of two predictions: pixels of the same class.

    Attributes:
      images: number of images that were compared.
      pixels: number of pixels of all images.
      different: number of pixels with different classes.
      worst: smallest share of equal pixels in an image.
    """

    images: int
    pixels: int
    different: int
    worst: float

    @property
    def share(self) -> float:
        """Returns the share of equal pixels over all images."""
        return 1.0 - self.different / self.pixels

    def __str__(self) -> str:
        return (
            f"{100 * self.share:.4f} % of the pixels of {self.images} image{'s' if self.images > 1 else ''} are equal "
            f"({self.different:,} of {self.pixels:,} differ; worst image {100 * self.worst:.4f} %)"
        )


def measure_agreement(reference: ImagePredictor, exported: ImagePredictor, images: Iterable[np.ndarray]) -> Agreement:
    """Returns the agreement of the class ids of two predictors.

    Args:
      reference: predictor of the Keras model.
      exported: predictor of the exported model.
      images: one or more images, uint8 [height, width, 3].

    Raises:
      ValueError: if there is no image, or the predictions differ in shape.
    """
    different, pixels = [], []
    for image in images:
        expected = reference.predict_batch(image[np.newaxis])
        found = exported.predict_batch(image[np.newaxis])
        if found.shape != expected.shape:
            raise ValueError(f"The predictions must have one shape, got {expected.shape} and {found.shape}.")
        different.append(int((found != expected).sum()))
        pixels.append(expected.size)
    if not pixels:
        raise ValueError("There must be at least one image to compare.")
    worst = min(1.0 - wrong / count for wrong, count in zip(different, pixels, strict=True))
    return Agreement(len(pixels), sum(pixels), sum(different), worst)


def check_agreement(
    reference: ImagePredictor, exported: ImagePredictor, images: Iterable[np.ndarray], threshold: float
) -> Agreement:
    """Returns the agreement as `measure_agreement` does, if it reaches a threshold.

    Raises:
      UserError: if the share of equal pixels is less than `threshold`.
    """
    agreement = measure_agreement(reference, exported, images)
    if agreement.share < threshold:
        raise UserError(
            f"The exported model disagrees too much with the Keras model: {agreement}, and --min_agreement is "
            f"{threshold:g}; nothing was written; choose a more precise export, or a lower --min_agreement."
        )
    return agreement
