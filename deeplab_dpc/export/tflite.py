"""Export of a TensorFlow Lite (LiteRT) file for phones and boards: from images of one size to class ids, with only
builtin operations.

Types: float32; float16 weights, computed in float32 if the hardware has no half precision; or int8 throughout, with the
scheme of Jacob et al., 2018 (arXiv:1712.05877): weights by channel, activations by tensor.
"""

import io
import json
import os
import pathlib
import warnings
import zipfile
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from deeplab_dpc.config.export import TFLITE_TYPES
from deeplab_dpc.errors import UserError
from deeplab_dpc.export.graph_predictor import GraphPredictor
from deeplab_dpc.export.model_info import MODEL_INFO, ModelInfo
from deeplab_dpc.export.portable_graph import portable_function
from deeplab_dpc.export.seal import DIGITS, sealed

# The error of averages in int8.
INT8_AVERAGES = (
    "--tflite_type=int8 cannot average networks, --eval_scales and --add_flipped_images: a sum of probabilities needs "
    "more than 8 bits; leave them out, or take float16."
)


def export_tflite(
    predictor: GraphPredictor,
    path: str | os.PathLike[str],
    info: ModelInfo,
    tflite_type: str,
    size: tuple[int, int],
    representative: Iterable[np.ndarray] = (),
) -> None:
    """Writes a TFLite file: `image` uint8 [1, height, width, 3] -> `semantic` int32 [1, height, width].

    It includes padding, normalisation, upsampling and argmax. `info` is stored as model_info.json in a zip archive at
    the end of the file, where TFLite's metadata has its files: unzip reads it, runtimes ignore it. The comment of the
    archive is the SHA-256 of everything before it.

    Args:
      predictor: the network with its padding and scales.
      path: path of the file. If this function fails, the file may be incomplete.
      info: facts to store in the file.
      tflite_type: float32, float16 or int8.
      size: (height, width) of the images in pixels.
      representative: about a hundred images uint8 [height, width, 3] of that size, which calibrate the ranges of the
        activations for int8.

    Raises:
      ValueError: if there is no such type, or a representative image has another size.
      UserError: as for portable_function; if int8 has no representative image, or averages networks, scales or flips.
    """
    if tflite_type not in TFLITE_TYPES:
        raise ValueError(f"`tflite_type` must be one of {', '.join(TFLITE_TYPES)}, got {tflite_type!r}.")
    is_int8 = tflite_type == "int8"
    if is_int8 and predictor.averages:
        raise UserError(INT8_AVERAGES)
    calibration = _calibration(representative, size) if is_int8 else []
    # The converter turns a float32 input into bytes itself, without an operation in float32.
    spec = tf.TensorSpec((1, *size, 3), tf.float32 if is_int8 else tf.uint8)
    function = portable_function(predictor, spec, "TFLite")
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], tf.Module())
    if tflite_type != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if tflite_type == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if is_int8:
        converter.representative_dataset = lambda: ([image[np.newaxis].astype("float32")] for image in calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Statistics for quantized inputs were expected")  # the inputs are the images
        model = converter.convert()
    pathlib.Path(path).write_bytes(with_info(model, info))


def _calibration(images: Iterable[np.ndarray], size: tuple[int, int]) -> list[np.ndarray]:
    """Returns the checked images; a pixel of the first one is changed so that the input's range is always 0..255."""
    checked = []
    for image in images:
        if image.shape != (*size, 3):
            raise ValueError(f"A representative image must be {size[0]} x {size[1]} x 3, got {image.shape}.")
        checked.append(image)
    if not checked:
        raise UserError("--tflite_type=int8 needs images that show the range of each activation; there is none.")
    checked[0] = checked[0].copy()
    checked[0][0, 0] = (0, 127, 255)
    return checked


def with_info(model: bytes, info: ModelInfo) -> bytes:
    """Returns a TFLite model with its facts and its digest at the end."""
    stream = io.BytesIO(model)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr(MODEL_INFO, json.dumps(info.to_json(), indent=1))
        archive.comment = b"0" * DIGITS  # replaced by the digest
    return sealed(stream.getvalue()[:-DIGITS])
