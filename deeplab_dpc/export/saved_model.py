"""Export of a SavedModel for TensorFlow Serving, or for any program with TensorFlow; docs/serving.md shows its use.

TensorFlow Serving runs warm-up requests when it loads a model, so that no client waits for the first one. Their file is
assets.extra/tf_serving_warmup_requests: a TFRecord file of at most 1000 PredictionLog messages (tensorflow/serving,
g3doc/saved_model_warmup.md). Their classes are not part of TensorFlow, so the few fields are written here, by the field
numbers of tensorflow_serving/apis/{prediction_log,predict,model}.proto.
"""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto

from deeplab_dpc.config import SavedModelOptions
from deeplab_dpc.errors import UserError
from deeplab_dpc.export.graph_predictor import GraphPredictor
from deeplab_dpc.export.model_info import MODEL_INFO, ModelInfo
from deeplab_dpc.export.seal import SHA256SUMS, write_sums
from deeplab_dpc.export.serving_graph import FrozenNetwork, ServingGraph
from deeplab_dpc.files import literal_path

# Folder in a SavedModel for files outside of its graph; TensorFlow Serving finds its warm-up requests there.
ASSETS_EXTRA = "assets.extra"
DEFAULT_SIGNATURE, PROBABILITIES_SIGNATURE, ENCODED_SIGNATURE = "serving_default", "probabilities", "encoded"
WARMUP_SIZE = (513, 513)  # (height, width) in pixels of warm-up images, if the model accepts any size
GREY = 127  # value of all pixels of warm-up images
MODEL_NAME = "model"  # the server runs the requests on the model that it loads, whatever its name
WARMUP_FILE = "tf_serving_warmup_requests"
# PredictionLog.predict_log, PredictLog.request, PredictRequest.{model_spec, inputs}, ModelSpec.{name, signature_name}
PREDICT_LOG, REQUEST, MODEL_SPEC, INPUTS, NAME, SIGNATURE_NAME = 6, 1, 1, 2, 1, 3
MAP_KEY, MAP_VALUE = 1, 2  # field numbers in an entry of any map
_LENGTH_DELIMITED = 2  # wire type of texts, bytes and messages


def export_saved_model(
    predictor: GraphPredictor,
    export_dir: str | os.PathLike[str],
    info: ModelInfo,
    options: SavedModelOptions | None = None,
    warmup_size: tuple[int, int] = WARMUP_SIZE,
) -> None:
    """Writes a SavedModel.

    It has these signatures:
      `serving_default`: `image` uint8 [batch, height, width, 3] -> `semantic` int32 [batch, height, width].
      `probabilities`: the same images -> `probabilities` float32 [batch, height, width, classes]; separate, since they
        are many times as large to compute and to send.
      `encoded`, if requested: `image_bytes` [batch] -> `semantic_bytes` [batch]; by their suffix, TensorFlow Serving
        recognises them as base 64 in JSON.

    Args:
      predictor: the network with its padding and upsampling.
      export_dir: path of a new directory. If this function fails, it may be incomplete.
      info: facts to store in assets.extra/model_info.json; assets.extra/SHA256SUMS has the digests of the files.
      options: sizes and signatures.
      warmup_size: (height, width) in pixels of the image in the warm-up requests, if the model accepts any size.

    Raises:
      UserError: on another backend than TensorFlow, or if the files cannot be written.
    """
    if keras.backend.backend() != "tensorflow":
        raise UserError("A SavedModel needs --backend=tensorflow; runs that were trained on JAX are exported as well.")
    options = options or SavedModelOptions()
    graph = ServingGraph(predictor.changed(FrozenNetwork), options)
    folder = pathlib.Path(export_dir)
    folder.mkdir(parents=True)
    try:
        with literal_path(folder) as literal:
            tf.saved_model.save(tf.Module(), str(literal), signatures=_signatures(graph))
            seal_saved_model(folder, info)
            write_warmup_requests(literal / ASSETS_EXTRA, _warmup_requests(options, warmup_size))
    except tf.errors.OpError as error:
        # The message is "{{node}} path; reason [Op:name]".
        reason = error.message.rpartition("; ")[2].partition(" [Op:")[0].splitlines()[0]
        raise UserError(f"The SavedModel cannot be written: {reason}; nothing of it was left.") from error


def seal_saved_model(folder: pathlib.Path, info: ModelInfo) -> None:
    """Writes assets.extra/model_info.json and, beside it, the digests of all existing files.

    Warm-up requests are added later: they belong to the server, and may be replaced.
    """
    extra = folder / ASSETS_EXTRA
    extra.mkdir()
    (extra / MODEL_INFO).write_text(json.dumps(info.to_json(), indent=1) + "\n", encoding="utf-8")
    write_sums(extra / SHA256SUMS, folder)


def expected_agreement() -> float:
    """Returns the expected agreement of a SavedModel with the Keras model: 1 with the same operations.

    A GPU's library tries several algorithms for each convolution and uses the fastest, which may differ between runs.
    """
    return 0.999 if tf.config.list_physical_devices("GPU") else 1.0


def _signatures(graph: ServingGraph) -> dict[str, Any]:
    sides = graph.options.export_size or (None, None)
    image = tf.TensorSpec([None, *sides, 3], tf.uint8, name="image")
    files = tf.TensorSpec([None], tf.string, name="image_bytes")
    functions: dict[str, Any] = {
        DEFAULT_SIGNATURE: tf.function(lambda image: {"semantic": graph.class_ids(image)}, [image]),
        PROBABILITIES_SIGNATURE: tf.function(lambda image: {"probabilities": graph.probabilities(image)}, [image]),
    }
    if graph.options.encoded_signature:
        functions[ENCODED_SIGNATURE] = tf.function(
            lambda image_bytes: {"semantic_bytes": graph.encoded(image_bytes)}, [files]
        )
    return functions


def _warmup_requests(options: SavedModelOptions, size: tuple[int, int]) -> dict[str, dict[str, TensorProto]]:
    """Returns a request with a grey image for each signature."""
    height, width = options.export_size or size
    image = tf.make_tensor_proto(GREY, tf.uint8, [1, height, width, 3])  # one number, which is repeated
    requests = {name: {"image": image} for name in (DEFAULT_SIGNATURE, PROBABILITIES_SIGNATURE)}
    if options.encoded_signature:
        file = tf.io.encode_png(tf.fill([height, width, 3], tf.constant(GREY, tf.uint8))).numpy()
        requests[ENCODED_SIGNATURE] = {"image_bytes": tf.make_tensor_proto([file])}
    return requests


def write_warmup_requests(folder: pathlib.Path, requests: Mapping[str, Mapping[str, TensorProto]]) -> None:
    """Writes one request per signature.

    Args:
      folder: folder assets.extra of the model.
      requests: dict from the name of each signature to its inputs by name.
    """
    with tf.io.TFRecordWriter(str(folder / WARMUP_FILE)) as writer:
        for signature, inputs in requests.items():
            request = _predict_request(signature, inputs)
            writer.write(_field(PREDICT_LOG, _field(REQUEST, request)))


def _predict_request(signature: str, inputs: Mapping[str, TensorProto]) -> bytes:
    """Returns a serialized PredictRequest."""
    model_spec = _field(NAME, MODEL_NAME.encode()) + _field(SIGNATURE_NAME, signature.encode())
    entries = (
        _field(MAP_KEY, name.encode()) + _field(MAP_VALUE, value.SerializeToString()) for name, value in inputs.items()
    )
    return _field(MODEL_SPEC, model_spec) + b"".join(_field(INPUTS, entry) for entry in entries)


def _field(number: int, content: bytes) -> bytes:
    """Returns a length-delimited field of the protocol buffers' wire format."""
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Returns a number with seven bits per byte, lowest first; the eighth bit means that more bytes follow."""
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)
