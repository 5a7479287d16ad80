"""Runtime of SavedModels: TensorFlow."""

import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab_dpc.errors import UserError
from deeplab_dpc.export.model_info import MODEL_INFO, ModelInfo, read_model_info
from deeplab_dpc.export.model_runtime import not_loaded
from deeplab_dpc.export.saved_model import ASSETS_EXTRA, DEFAULT_SIGNATURE, PROBABILITIES_SIGNATURE
from deeplab_dpc.export.seal import SHA256SUMS, check_sums
from deeplab_dpc.files import literal_path

SAVED_MODEL = "saved_model.pb"


class SavedModelRuntime:
    """The Runtime of SavedModels, with TensorFlow.

    Args:
      path: path of the directory.

    Raises:
      UserError: if it contains no SavedModel, a damaged one, or one that is not from deeplab-dpc export.
    """

    def __init__(self, path: pathlib.Path):
        self.info = read_saved_model_info(path)
        try:
            with literal_path(path) as literal:
                self._model: Any = tf.saved_model.load(str(literal))
        except (tf.errors.OpError, OSError, ValueError, KeyError) as error:
            raise not_loaded(f"TensorFlow {tf.__version__}", path, error) from error
        missing = {DEFAULT_SIGNATURE, PROBABILITIES_SIGNATURE} - set(self._model.signatures)
        if missing:
            raise UserError(f"The SavedModel {path} has no signature {sorted(missing)[0]}; export it again.")
        image = self._model.signatures[DEFAULT_SIGNATURE].structured_input_signature[1]["image"]
        height, width = image.shape[1:3]
        self.size = None if height is None else (height, width)

    def class_ids(self, images: np.ndarray) -> np.ndarray:
        """See Runtime."""
        ids: np.ndarray = self._model.signatures[DEFAULT_SIGNATURE](image=tf.constant(images))["semantic"].numpy()
        return ids

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """See Runtime."""
        answer = self._model.signatures[PROBABILITIES_SIGNATURE](image=tf.constant(images))
        probabilities: np.ndarray = answer["probabilities"].numpy()
        return probabilities


def read_saved_model_info(path: pathlib.Path) -> ModelInfo:
    """Returns the facts in a SavedModel, all files of which are checked for changes.

    Raises:
      UserError: if it is not a SavedModel of deeplab-dpc export, or a file is missing or was changed.
    """
    if not (path / SAVED_MODEL).is_file() and not (path / ASSETS_EXTRA / SHA256SUMS).is_file():
        raise UserError(f"{path} is not a SavedModel: it holds no {SAVED_MODEL}; give the directory of --export_dir.")
    description = f"{ASSETS_EXTRA}/{MODEL_INFO}"
    check_sums(path / ASSETS_EXTRA / SHA256SUMS, path, (SAVED_MODEL, description), "SavedModel")
    return read_model_info(path / description)
