"""Runs a SavedModel with TensorFlow."""

import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab_dpc.errors import UserError
from deeplab_dpc.export.model_info import MODEL_INFO, read_model_info
from deeplab_dpc.export.saved_model import ASSETS_EXTRA, DEFAULT_SIGNATURE, PROBABILITIES_SIGNATURE


class SavedModelRuntime:
    """A Runtime.

    Args:
      path: the directory.

    Raises:
      UserError: if it holds no SavedModel, a damaged one, or one that export.py did not write.
    """

    def __init__(self, path: pathlib.Path):
        if not (path / "saved_model.pb").is_file():
            raise UserError(
                f"{path} is not a SavedModel: it holds no saved_model.pb; give the directory of --export_dir."
            )
        description = path / ASSETS_EXTRA / MODEL_INFO
        if not description.is_file():
            raise UserError(
                f"The SavedModel {path} was not written by export.py: it has no {ASSETS_EXTRA}/{MODEL_INFO}, which "
                "says what its class ids mean; export it again."
            )
        self.info = read_model_info(description)
        try:
            self._model: Any = tf.saved_model.load(str(path))
        except (tf.errors.OpError, OSError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"The SavedModel {path} is damaged ({reason}); export it again.") from error
        missing = {DEFAULT_SIGNATURE, PROBABILITIES_SIGNATURE} - set(self._model.signatures)
        if missing:
            raise UserError(f"The SavedModel {path} has no signature {sorted(missing)[0]}; export it again.")
        image = self._model.signatures[DEFAULT_SIGNATURE].structured_input_signature[1]["image"]
        height, width = image.shape[1:3]
        self.size = None if height is None else (height, width)

    def class_ids(self, images: np.ndarray) -> np.ndarray:
        """See Runtime."""
        return self._model.signatures[DEFAULT_SIGNATURE](image=tf.constant(images))["semantic"].numpy()

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """See Runtime."""
        return self._model.signatures[PROBABILITIES_SIGNATURE](image=tf.constant(images))["probabilities"].numpy()
