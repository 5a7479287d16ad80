"""The SavedModel gives what the Keras model gives, at any size."""

import gc

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from deeplab_dpc.config import SavedModelOptions
from deeplab_dpc.errors import UserError
from deeplab_dpc.export.model_info import MODEL_INFO, read_model_info
from deeplab_dpc.export.saved_model import ASSETS_EXTRA, export_saved_model


@pytest.fixture(scope="module")
def signatures(saved_model):
    return tf.saved_model.load(str(saved_model)).signatures


def _graph_nodes(path):
    """(function, operation, name) of all nodes, the functions' too."""
    graph = SavedModel.FromString((path / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
    functions = {"": graph.node} | {f.signature.name: f.node_def for f in graph.library.function}
    return [(name, node.op, node.name) for name, nodes in functions.items() for node in nodes]


@pytest.mark.parametrize("size", [(65, 97), (50, 71)])
def test_argmax_is_the_same_in_batches_of_two_at_two_sizes(predictor, signatures, rng, size):
    images = rng.integers(0, 256, size=(2, *size, 3)).astype("uint8")
    semantic = signatures["serving_default"](image=tf.constant(images))["semantic"]
    probabilities = signatures["probabilities"](image=tf.constant(images))["probabilities"]
    np.testing.assert_array_equal(semantic, predictor.predict_batch(images))
    np.testing.assert_allclose(probabilities, predictor.predict_probabilities(images), atol=1e-6)
    assert (semantic.dtype, semantic.shape) == (tf.int32, (2, *size))
    assert (probabilities.dtype, probabilities.shape) == (tf.float32, (2, *size, 4))
    assert len(np.unique(semantic)) > 1


def test_encoded_images_of_several_sizes_are_answered_in_one_batch(signatures, rng):
    images = [rng.integers(0, 256, size=(*size, 3)).astype("uint8") for size in [(40, 56), (33, 33)]]
    files = [tf.io.encode_png(image) for image in images] + [tf.io.encode_jpeg(images[0])]
    images.append(tf.io.decode_jpeg(files[-1]).numpy())
    answers = signatures["encoded"](image_bytes=tf.stack(files))["semantic_bytes"]
    for image, answer in zip(images, answers.numpy(), strict=True):
        expected = signatures["serving_default"](image=tf.constant(image[np.newaxis]))["semantic"][0]
        np.testing.assert_array_equal(tf.io.decode_png(answer)[..., 0], expected)


def test_a_file_that_is_no_image_is_refused(signatures):
    with pytest.raises(tf.errors.InvalidArgumentError, match="image"):
        signatures["encoded"](image_bytes=tf.constant([b"GIF? no."]))


def test_the_graph_runs_no_python(saved_model):
    operations = {operation for _, operation, _ in _graph_nodes(saved_model)}
    assert "Conv2D" in operations
    assert not {"PyFunc", "PyFuncStateless", "EagerPyFunc", "VarHandleOp", "ReadVariableOp"} & operations


def test_all_signatures_share_one_network(saved_model):
    holders = {function for function, operation, _ in _graph_nodes(saved_model) if operation == "Conv2D"}
    assert len(holders) == 1


def test_a_signature_outlives_the_model_that_it_was_taken_from(saved_model):
    image = tf.zeros([1, 33, 33, 3], tf.uint8)
    signature = tf.saved_model.load(str(saved_model)).signatures["serving_default"]
    gc.collect()
    assert signature(image=image)["semantic"].shape == (1, 33, 33)


def test_facts_about_the_model_travel_with_it(saved_model, info):
    assert read_model_info(saved_model / ASSETS_EXTRA / MODEL_INFO) == info


def test_a_fixed_size_is_in_the_signature(predictor, info, rng, tmp_path):
    export_saved_model(predictor, tmp_path / "m", info, SavedModelOptions(export_size=(49, 65)))
    signature = tf.saved_model.load(str(tmp_path / "m")).signatures["serving_default"]
    assert signature.structured_input_signature[1]["image"].shape.as_list() == [None, 49, 65, 3]
    assert signature.structured_outputs["semantic"].shape.as_list() == [None, 49, 65]
    images = rng.integers(0, 256, size=(2, 49, 65, 3)).astype("uint8")
    np.testing.assert_array_equal(signature(image=tf.constant(images))["semantic"], predictor.predict_batch(images))


def test_a_full_disk_is_one_sentence(predictor, info, tmp_path, monkeypatch):
    def fail(module, path, signatures):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(UserError, match="The SavedModel cannot be written: No space left on device"):
        export_saved_model(predictor, tmp_path / "model", info)
