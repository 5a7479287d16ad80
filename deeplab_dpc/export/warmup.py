"""Warm-up requests, which TensorFlow Serving runs when it loads a model, so that no client waits for the first one.

The file is assets.extra/tf_serving_warmup_requests: a TFRecord file of at most 1000 PredictionLog messages
(tensorflow/serving, g3doc/saved_model_warmup.md). Their classes are not part of TensorFlow, so the few fields are
written here, by the field numbers of tensorflow_serving/apis/{prediction_log,predict,model}.proto.
"""

import pathlib
from collections.abc import Mapping

import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto

MODEL_NAME = "model"  # the server runs the requests on the model that it loads, whatever its name
WARMUP_FILE = "tf_serving_warmup_requests"
# PredictionLog.predict_log, PredictLog.request, PredictRequest.{model_spec, inputs}, ModelSpec.{name, signature_name}
PREDICT_LOG, REQUEST, MODEL_SPEC, INPUTS, NAME, SIGNATURE_NAME = 6, 1, 1, 2, 1, 3
MAP_KEY, MAP_VALUE = 1, 2  # field numbers in an entry of any map
_LENGTH_DELIMITED = 2  # wire type of texts, bytes and messages


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
