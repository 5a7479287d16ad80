"""Runtime of TFLite files: TensorFlow's interpreter on the CPU."""

import io
import json
import os
import pathlib
import threading
import warnings
import zipfile

import numpy as np
import tensorflow as tf

from deeplab_dpc.errors import UserError
from deeplab_dpc.export.model_info import MODEL_INFO, ModelInfo
from deeplab_dpc.export.model_runtime import no_probabilities, not_loaded
from deeplab_dpc.export.seal import read_sealed


class TFLiteRuntime:
    """The Runtime of TFLite files; images of a batch are predicted one after another.

    Args:
      path: path of the file.

    Raises:
      UserError: if the file is damaged, or deeplab-dpc export did not write it.
    """

    def __init__(self, path: pathlib.Path):
        model = read_sealed(path, "TFLite file")
        self.info = read_tflite_info(model, path)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", r"\s*Warning: tf.lite.Interpreter is deprecated")
                self._interpreter = tf.lite.Interpreter(model_content=model, num_threads=os.cpu_count())
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise not_loaded(f"TensorFlow {tf.__version__}", path, error) from error
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
        """Raises a UserError, since a TFLite file has only class ids."""
        raise no_probabilities("A TFLite file")


def read_tflite_info(model: bytes, path: pathlib.Path) -> ModelInfo:
    """Returns the facts at the end of a TFLite file.

    Args:
      model: contents of the file.
      path: path of the file in errors.

    Raises:
      UserError: if the file has no such facts.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(model)) as archive:
            return ModelInfo.from_json(json.loads(archive.read(MODEL_INFO)))
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"The TFLite file {path} was not written by deeplab-dpc export: it has no {MODEL_INFO} that says what its "
            "class ids mean; export it again."
        ) from error
