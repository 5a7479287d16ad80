"""The interface of a predictor (a network, its sliding window, an exported model) for evaluation, prediction and the
web page; and several predictors as one, whose probabilities are averaged.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from deeplab_dpc.errors import UserError


class CannotPredict(UserError):  # noqa: N818 (its text is for users)
    """An error for a prediction that the predictor cannot make for any image."""


class ImagePredictor(Protocol):
    """A predictor of class ids and probabilities of uint8 RGB images.

    Attributes:
      num_classes: number of classes of the probabilities.
    """

    num_classes: int

    def predict_batch(self, images: np.ndarray) -> np.ndarray:
        """Predicts class ids int32 [batch, height, width] of images uint8 [batch, height, width, 3]."""

    def predict_probabilities(self, images: np.ndarray) -> np.ndarray:
        """Predicts probabilities float32 [batch, height, width, num_classes] of images uint8 [batch, height, width, 3].

        Raises:
          CannotPredict: if only class ids are available.
        """

    def check_size(self, image: np.ndarray, name: str) -> None:
        """Raises a UserError that names the image if it does not fit."""


class Ensemble:
    """An ImagePredictor that averages the probabilities of predictors of the same classes.

    The members predict one after another, so that the ensemble takes the memory of its largest member and of two arrays
    of probabilities.

    Args:
      members: predictors of the ensemble, at least one.
    """

    def __init__(self, members: Sequence[ImagePredictor]):
        self.members = tuple(members)
        self.num_classes = self.members[0].num_classes

    def predict_batch(self, images: np.ndarray) -> np.ndarray:
        """Predicts class ids int32 [batch, height, width] of images uint8 [batch, height, width, 3]."""
        semantic: np.ndarray = self.predict_probabilities(images).argmax(axis=-1).astype(np.int32)
        return semantic

    def predict_probabilities(self, images: np.ndarray) -> np.ndarray:
        """Predicts probabilities float32 [batch, height, width, num_classes] of the same images."""
        first, *others = self.members
        total: np.ndarray = np.array(first.predict_probabilities(images))
        for member in others:
            total += member.predict_probabilities(images)
        total /= len(self.members)
        return total

    def check_size(self, image: np.ndarray, name: str) -> None:
        """Raises a UserError that names the image if it does not fit a member."""
        for member in self.members:
            member.check_size(image, name)
