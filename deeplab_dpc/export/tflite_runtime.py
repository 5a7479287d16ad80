"""Runs a TFLite file with TensorFlow's interpreter, on the CPU."""

import json
import os
import pathlib
import threading
import warnings
import zipfile

import numpy as np
import tensorflow as tf

from deeplab_dpc.errors import UserError
from deeplab_dpc.export.exported_model import no_probabilities
from deeplab_dpc.export.model_info import MODEL_INFO, ModelInfo


class TFLiteRuntime:
    """A Runtime; images of a batch are predicted one after another.

    Args:
      path: the file.
      threads: of the CPU; by default all.

    Raises:
      UserError: if the file is damaged, or export.py did not write it.
    """

    def __init__(self, path: pathlib.Path, threads: int | None = None):
        self.info = _read_info(path)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", r"\s*Warning: tf.lite.Interpreter is deprecated")
                self._interpreter = tf.lite.Interpreter(str(path), num_threads=threads or os.cpu_count())
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"The TFLite file {path} is damaged ({reason}); export it again.") from error
        (image,), (semantic,) = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        _, height, width, _ = image["shape"]
        self.size: tuple[int, int] | None = (int(height), int(width))
        self._image, self._semantic = image["index"], semantic["index"]
        self._lock = threading.Lock()  # the interpreter has one set of tensors

    def class_ids(self, images: np.ndarray) -> np.ndarray:
        """See Runtime."""
        ids = np.empty(images.shape[:3], np.int32)
        with self._lock:
            for place in range(len(images)):
                self._interpreter.set_tensor(self._image, images[place : place + 1])
                self._interpreter.invoke()
                ids[place] = self._interpreter.get_tensor(self._semantic)[0]
        return ids

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Raises a UserError."""
        raise no_probabilities("A TFLite file")


def _read_info(path: pathlib.Path) -> ModelInfo:
    try:
        with zipfile.ZipFile(path) as archive:
            return ModelInfo.from_json(json.loads(archive.read(MODEL_INFO)))
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is damaged, or no TFLite file of export.py: it does not end with {MODEL_INFO}, which says what "
            "its class ids mean; export it again."
        ) from error
