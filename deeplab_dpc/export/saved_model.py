"""A SavedModel that takes uint8 images of any size and answers with class ids and probabilities."""

import json
import os
import pathlib
from typing import Any

import keras
import tensorflow as tf

from deeplab_dpc.errors import UserError
from deeplab_dpc.files import atomic_path
from deeplab_dpc.models.predictor import Predictor

MODEL_INFO = "model_info.json"


class _Serving(tf.Module):
    def __init__(self, predictor: Predictor):
        super().__init__()
        self.class_ids = predictor.class_ids
        self.probabilities = predictor.probabilities

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")])
    def predict(self, image):
        return {
            "semantic": tf.cast(self.class_ids(image), tf.int32, name="semantic"),
            "probabilities": tf.cast(self.probabilities(image), tf.float32, name="probabilities"),
        }


def export_saved_model(predictor: Predictor, export_dir: str | os.PathLike[str], info: dict[str, Any]) -> None:
    """Writes a SavedModel: `image` uint8 [batch, height, width, 3] -> `semantic` int32 [batch, height, width] and
    `probabilities` float32 [batch, height, width, classes].

    Args:
      predictor: the network with its padding and upsampling.
      export_dir: a directory that does not exist yet; it appears when the model is complete.
      info: JSON-ready facts about the model, kept in assets.extra/model_info.json.

    Raises:
      UserError: on another backend than TensorFlow, if the directory exists and is not empty, or cannot be written.
    """
    if keras.backend.backend() != "tensorflow":
        raise UserError("--export_dir needs --backend=tensorflow; runs that were trained on JAX are exported as well.")
    target = pathlib.Path(export_dir)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"--export_dir={target} exists; give a new directory, so that no served model is overwritten.")
    module = _Serving(predictor)
    try:
        with atomic_path(target) as partial:
            tf.saved_model.save(module, str(partial), signatures={"serving_default": module.predict})
            extra = partial / "assets.extra"
            extra.mkdir()
            (extra / MODEL_INFO).write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
    except tf.errors.OpError as error:
        # The message is "{{node}} path; reason [Op:name]".
        reason = error.message.rpartition("; ")[2].partition(" [Op:")[0].splitlines()[0]
        raise UserError(f"--export_dir={target} cannot be written: {reason}.") from error
