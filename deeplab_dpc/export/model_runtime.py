"""The interface of the runtimes of exported models, and their common errors."""

import pathlib
from typing import Protocol

import numpy as np

from deeplab_dpc.errors import UserError
from deeplab_dpc.export.model_info import ModelInfo
from deeplab_dpc.models.image_predictor import CannotPredict


class Runtime(Protocol):
    """The runtime of one format.

    Attributes:
      info: facts stored in the export.
      size: (height, width) in pixels that images must have; None for any.
    """

    info: ModelInfo
    size: tuple[int, int] | None

    def class_ids(self, images: np.ndarray) -> np.ndarray:
        """Predicts class ids: uint8 [batch, height, width, 3] -> int32 [batch, height, width]."""

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Predicts probabilities: uint8 [batch, height, width, 3] -> float32 [batch, height, width, num_classes].

        Raises:
          UserError: if the format has no probabilities.
        """


def not_loaded(runtime: str, path: pathlib.Path, error: Exception) -> UserError:
    """Returns the error for an undamaged file that a runtime does not accept."""
    reason = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
    return UserError(f"{runtime} cannot load {path}: {reason}; export it again with the versions installed here.")


def no_probabilities(kind: str) -> CannotPredict:
    """Returns the error for a format with only class ids; `kind` is, for example, 'An ONNX file'."""
    return CannotPredict(
        f"{kind} predicts only class ids; use a SavedModel, or the network, for probabilities (which "
        "--sliding_window needs too)."
    )
