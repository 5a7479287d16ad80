"""What evaluation, prediction and the web page need of whatever predicts: a network, its windows, an exported model."""

from typing import Protocol

import numpy as np

from deeplab_dpc.errors import UserError


class CannotPredict(UserError):  # noqa: N818 (its text is for users)
    """What is asked for cannot be predicted, whatever the image."""


class ImagePredictor(Protocol):
    """Class ids and probabilities of uint8 RGB images.

    Attributes:
      num_classes: number of classes of the probabilities.
    """

    num_classes: int

    def predict_batch(self, images: np.ndarray) -> np.ndarray:
        """Class ids int32 [batch, height, width] of images uint8 [batch, height, width, 3]."""

    def predict_probabilities(self, images: np.ndarray) -> np.ndarray:
        """Probabilities float32 [batch, height, width, num_classes] of images uint8 [batch, height, width, 3].

        Raises:
          CannotPredict: if there are class ids only.
        """

    def check_size(self, image: np.ndarray, name: str) -> None:
        """Raises a UserError that names the image if it does not fit."""
