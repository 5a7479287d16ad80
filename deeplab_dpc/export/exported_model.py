"""Predictor of an exported model: a SavedModel directory, a .tflite file or an .onnx file."""

import math
import os
import pathlib
from typing import Any

import numpy as np

from deeplab_dpc.config.model import mean_pixel
from deeplab_dpc.errors import UserError
from deeplab_dpc.export.model_info import ModelInfo
from deeplab_dpc.export.model_runtime import Runtime
from deeplab_dpc.export.seal import read_sealed


class ExportedModel:
    """An exported model as an ImagePredictor.

    A model with a fixed size accepts smaller images too: they are padded at the bottom and right, as with
    --eval_crop_size, but with the mean pixel rounded to bytes.

    Attributes:
      num_classes, class_names, palette: number, names and colours of the classes.
      ignore_label: id of ignored pixels.
      source: source of the weights as text.
      size: (height, width) in pixels that images must not exceed; None for any.

    Args:
      path: path of the model; errors contain only its name, since the web page may show them.
      runtime: runtime of the format.
    """

    def __init__(self, path: pathlib.Path, runtime: Runtime):
        self._path = path
        self._runtime = runtime
        info = runtime.info
        self.class_names = info.class_names
        self.num_classes = len(info.class_names)
        self.palette = info.palette
        self.ignore_label = info.ignore_label
        self.source = info.source
        self._pad_pixel = [math.floor(value + 0.5) for value in _mean_pixel(info)]
        crop = info.inference.get("eval_crop_size")
        self.size = runtime.size or ((crop[0], crop[1]) if crop else None)

    def predict_batch(self, images: np.ndarray) -> np.ndarray:
        """Predicts class ids int32 [batch, height, width] of images uint8 [batch, height, width, 3]."""
        self.check_size(images[0], "The image")
        height, width = images.shape[1:3]
        return self._runtime.class_ids(self._padded(images))[:, :height, :width]

    def predict_probabilities(self, images: np.ndarray) -> np.ndarray:
        """Predicts probabilities float32 [batch, height, width, num_classes] of the same images.

        Raises:
          CannotPredict: if the model has only class ids.
        """
        self.check_size(images[0], "The image")
        height, width = images.shape[1:3]
        return self._runtime.probabilities(self._padded(images))[:, :height, :width]

    def check_size(self, image: np.ndarray, name: str) -> None:
        """Raises a UserError if the image is larger than the model's size."""
        height, width = image.shape[:2]
        if self.size and (height > self.size[0] or width > self.size[1]):
            raise UserError(
                f"{name} is {height} x {width} pixels, larger than {self.size[0]} x {self.size[1]}, which "
                f"{self._path.name} was exported for; scale it down, or export the model again with "
                f"--export_size={max(height, self.size[0])},{max(width, self.size[1])}."
            )

    def _padded(self, images: np.ndarray) -> np.ndarray:
        size = self._runtime.size
        if size is None or images.shape[1:3] == size:
            return images
        padded = np.full((len(images), *size, 3), self._pad_pixel, images.dtype)
        padded[:, : images.shape[1], : images.shape[2]] = images
        return padded


def _mean_pixel(info: ModelInfo) -> tuple[float, float, float]:
    """Returns the mean pixel of the exported network; that of the first, if several are averaged."""
    several = info.model.get("mean")
    model: Any = several[0] if isinstance(several, list) and several else info.model
    return mean_pixel(str(model.get("model_variant")) if isinstance(model, dict) else "")


def load_exported_model(path: str | os.PathLike[str]) -> ExportedModel:
    """Loads a model that deeplab-dpc export wrote.

    Args:
      path: directory of a SavedModel, or file that ends with .tflite or .onnx.

    Raises:
      UserError: if there is no such model, it is damaged or was not written by deeplab-dpc export, or its runtime is
        not installed.
    """
    path = pathlib.Path(path)
    if path.suffix not in (".tflite", ".onnx") and not path.is_dir():
        problem = "is neither a directory nor a .tflite or .onnx file" if path.exists() else "does not exist"
        raise UserError(f"The exported model {path} {problem}; give a model that deeplab-dpc export wrote.")
    if path.is_dir():
        from deeplab_dpc.export.saved_model_runtime import SavedModelRuntime

        return ExportedModel(path, SavedModelRuntime(path))
    if not path.is_file():
        raise UserError(f"The exported model {path} does not exist; give a model that deeplab-dpc export wrote.")
    if path.suffix == ".tflite":
        from deeplab_dpc.export.tflite_runtime import TFLiteRuntime

        return ExportedModel(path, TFLiteRuntime(path))
    from deeplab_dpc.export.onnx_runtime import OnnxRuntime

    return ExportedModel(path, OnnxRuntime(path))


def read_exported_info(path: pathlib.Path) -> ModelInfo:
    """Returns the facts in an export, which is checked for damage, but not loaded.

    Raises:
      UserError: if it is damaged, or not from deeplab-dpc export.
    """
    if path.is_dir():
        from deeplab_dpc.export.saved_model_runtime import read_saved_model_info

        return read_saved_model_info(path)
    if path.suffix == ".tflite":
        from deeplab_dpc.export.tflite_runtime import read_tflite_info

        return read_tflite_info(read_sealed(path, "TFLite file"), path)
    from deeplab_dpc.export.onnx_runtime import OnnxRuntime

    return OnnxRuntime(path).info
