"""What runs an exported model of one format, and what all of them say where they cannot."""

import pathlib
from typing import Protocol

import numpy as np

from deeplab_dpc.errors import UserError
from deeplab_dpc.export.model_info import ModelInfo
from deeplab_dpc.models.image_predictor import CannotPredict


class Runtime(Protocol):
    """The runtime of one format.

    Attributes:
      info: facts in the file.
      size: (height, width) in pixels that images must have; None for any.
    """

    info: ModelInfo
    size: tuple[int, int] | None

    def class_ids(self, images: np.ndarray) -> np.ndarray:
        """Predicts class ids: uint8 [batch, height, width, 3] -> int32 [batch, height, width]."""

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Predicts probabilities: the same images -> float32 [batch, height, width, num_classes]; raises a UserError if
        the format has none.
        """


def not_loaded(runtime: str, path: pathlib.Path, error: Exception) -> UserError:
    """Returns the error of a runtime that does not accept an undamaged file."""
    reason = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
    return UserError(f"{runtime} cannot load {path}: {reason}; export it again with the versions installed here.")


def no_probabilities(kind: str) -> CannotPredict:
    """Returns the error of a format with only class ids, such as 'An ONNX file'."""
    return CannotPredict(
        f"{kind} predicts only class ids; use a SavedModel, or the network, for probabilities (which "
        "--sliding_window needs too)."
    )
