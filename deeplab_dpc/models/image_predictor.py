"""The interface of a predictor (a network, its sliding window, an exported model) for evaluation, prediction and the
web page.
"""

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
