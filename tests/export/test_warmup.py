"""Warm-up requests, read back by the messages of TensorFlow Serving's .proto files."""

import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2

from deeplab_dpc.export.saved_model import ASSETS_EXTRA, WARMUP_FILE, write_warmup_requests

# tensorflow_serving/apis/{model,predict,prediction_log}.proto, as far as a request to predict needs them.
# message: {field: (number, type, is repeated)}
MESSAGES = {
    "ModelSpec": {"name": (1, "string", False), "signature_name": (3, "string", False)},
    "InputsEntry": {"key": (1, "string", False), "value": (2, "tensorflow.TensorProto", False)},
    "PredictRequest": {"model_spec": (1, "test.ModelSpec", False), "inputs": (2, "test.InputsEntry", True)},
    "PredictLog": {"request": (1, "test.PredictRequest", False)},
    "PredictionLog": {"predict_log": (6, "test.PredictLog", False)},
}


@pytest.fixture(scope="module")
def prediction_log():
    """The class of PredictionLog; a map is a repeated entry of key and value on the wire."""
    kinds = descriptor_pb2.FieldDescriptorProto
    pool = descriptor_pool.Default()
    file = descriptor_pb2.FileDescriptorProto(
        name="test.proto", package="test", syntax="proto3", dependency=[tensor_pb2.DESCRIPTOR.name]
    )
    for message, fields in MESSAGES.items():
        added = file.message_type.add(name=message)
        for name, (number, kind, repeated) in fields.items():
            text = kind == "string"
            added.field.add(
                name=name,
                number=number,
                type=kinds.TYPE_STRING if text else kinds.TYPE_MESSAGE,
                type_name=None if text else f".{kind}",
                label=kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL,
            )
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("test.PredictionLog"))


def _requests(path, prediction_log):
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    return [prediction_log.FromString(record).predict_log.request for record in records]


def test_a_request_names_its_signature_and_holds_its_inputs(prediction_log, tmp_path):
    image = tf.make_tensor_proto(7, tf.uint8, [1, 300, 2, 3])
    label = tf.make_tensor_proto([b"x" * 200])  # longer than a length of one byte can say
    write_warmup_requests(tmp_path, {"serving_default": {"image": image}, "other": {"a": image, "b": label}})
    first, second = _requests(tmp_path / WARMUP_FILE, prediction_log)
    assert (first.model_spec.name, first.model_spec.signature_name) == ("model", "serving_default")
    assert [entry.key for entry in first.inputs] == ["image"]
    pixels = tf.make_ndarray(first.inputs[0].value)
    assert (pixels.shape, pixels.dtype, pixels.min(), pixels.max()) == ((1, 300, 2, 3), "uint8", 7, 7)
    assert second.model_spec.signature_name == "other"
    assert {entry.key for entry in second.inputs} == {"a", "b"}
    assert tf.make_ndarray(second.inputs[1].value).tolist() == [b"x" * 200]


def test_an_exported_model_answers_its_own_requests(saved_model, prediction_log):
    loaded = tf.saved_model.load(str(saved_model))
    requests = _requests(saved_model / ASSETS_EXTRA / WARMUP_FILE, prediction_log)
    answers = {}
    for request in requests:
        inputs = {entry.key: tf.constant(tf.make_ndarray(entry.value)) for entry in request.inputs}
        answers |= loaded.signatures[request.model_spec.signature_name](**inputs)
    assert answers["semantic"].shape == (1, 33, 49)
    assert answers["probabilities"].shape == (1, 33, 49, 4)
    assert tf.io.decode_png(answers["semantic_bytes"][0]).shape == (33, 49, 1)
