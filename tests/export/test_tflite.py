"""A TFLite file holds all that predicts, needs builtin operations alone, and gives what the Keras model gives."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from deeplab_dpc.checkpoint.restore import restore_model
from deeplab_dpc.config import InferenceConfig, ModelConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.export.exported_model import load_exported_model
from deeplab_dpc.export.tflite import export_tflite
from deeplab_dpc.export.tflite_runtime import TFLiteRuntime
from deeplab_dpc.models.inference_network import inference_network
from deeplab_dpc.models.predictor import Predictor
from deeplab_dpc.models.segmenter import build_segmenter

SIZE = (40, 71)  # both sides are padded
SMALL_OWL = (129, 171)


@pytest.fixture(scope="module")
def float32(predictor, info, tmp_path_factory):
    path = tmp_path_factory.mktemp("tflite") / "model.tflite"
    export_tflite(predictor, path, info, "float32", SIZE)
    return path


@pytest.fixture(scope="module")
def published(shared):
    """A trained network: random ones multiply rounding errors."""
    network = build_segmenter(ModelConfig(num_classes=21))
    restore_model(network, str(shared / "data" / "pretrained" / "deeplabv3_mnv2_pascal" / "model.ckpt"))
    config = InferenceConfig()
    return Predictor(inference_network(network, config), config)


@pytest.fixture(scope="module")
def owl(shared):
    with Image.open(shared / "data" / "real_images" / "owl.png") as image:
        return np.asarray(image.convert("RGB").resize(SMALL_OWL[::-1]))[np.newaxis]


def test_float32_predicts_as_keras_in_batches(float32, predictor, rng):
    images = rng.integers(0, 256, size=(2, *SIZE, 3)).astype("uint8")
    ids = load_exported_model(float32).predict_batch(images)
    assert (ids.shape, ids.dtype) == ((2, *SIZE), np.int32)
    assert len(np.unique(ids)) > 1
    assert np.mean(ids == predictor.predict_batch(images)) > 0.999


@pytest.mark.long
def test_float16_is_half_as_large_and_predicts_as_keras(published, info, owl, tmp_path):
    path = tmp_path / "model.tflite"
    export_tflite(published, path, info, "float16", SMALL_OWL)
    parameters = sum(variable.shape.num_elements() for variable in published.segmenter.trainable_variables)
    assert path.stat().st_size == pytest.approx(2 * parameters, rel=0.1)
    ids = load_exported_model(path).predict_batch(owl)
    assert np.mean(ids == published.predict_batch(owl)) > 0.999


def _int8(predictor, info, size, images, path) -> TFLiteRuntime:
    """An int8 file, whose numbers have been looked at."""
    export_tflite(predictor, path, info, "int8", size, images)
    runtime = TFLiteRuntime(path)
    (image,) = runtime._interpreter.get_input_details()
    assert (image["dtype"], image["quantization"]) == (np.uint8, (1.0, 0))  # the bytes themselves
    assert {np.dtype(tensor["dtype"]).kind for tensor in runtime._interpreter.get_tensor_details()} == {"i", "u"}
    return runtime


def test_int8_computes_in_integers_from_bytes_to_class_ids(predictor, info, rng, tmp_path):
    images = rng.integers(0, 256, size=(3, *SIZE, 3)).astype("uint8")
    ids = _int8(predictor, info, SIZE, images, tmp_path / "model.tflite").class_ids(images)
    assert (ids.shape, ids.dtype) == ((3, *SIZE), np.int32)
    assert set(np.unique(ids)) <= set(range(4))  # random logits differ by less than a step of 8 bits


@pytest.mark.long
def test_int8_predicts_a_photograph_as_keras(published, info, owl, tmp_path):
    ids = _int8(published, info, SMALL_OWL, owl, tmp_path / "model.tflite").class_ids(owl)
    assert set(np.unique(ids)) == {0, 3}  # background and bird
    assert np.mean(ids == published.predict_batch(owl)) > 0.97


def test_facts_are_a_file_in_the_file(float32, info):
    with zipfile.ZipFile(float32) as archive:
        assert json.loads(archive.read("model_info.json"))["class_names"] == list("abcd")
    assert TFLiteRuntime(float32).info == info


def test_probabilities_are_refused(float32):
    with pytest.raises(UserError, match="A TFLite file predicts only class ids; use a SavedModel"):
        load_exported_model(float32).predict_probabilities(np.zeros((1, *SIZE, 3), np.uint8))


def test_int8_needs_images(predictor, info, tmp_path):
    with pytest.raises(UserError, match="--tflite_type=int8 needs images"):
        export_tflite(predictor, tmp_path / "model.tflite", info, "int8", SIZE)


def test_image_of_another_size_is_refused(predictor, info, tmp_path):
    images = np.zeros((1, 40, 70, 3), np.uint8)
    with pytest.raises(ValueError, match=r"must be 40 x 71 x 3, got \(40, 70, 3\)"):
        export_tflite(predictor, tmp_path / "model.tflite", info, "int8", SIZE, images)


@pytest.mark.parametrize(
    ("config", "tflite_type", "message"),
    [
        (InferenceConfig(inference_dtype="bfloat16"), "float32", "--inference_dtype=bfloat16 is for a SavedModel"),
        (InferenceConfig(add_flipped_images=True), "int8", "--tflite_type=int8 cannot average"),
    ],
)
def test_what_the_format_cannot_do_is_refused(network, info, tmp_path, config, tflite_type, message):
    with pytest.raises(UserError, match=message):
        export_tflite(Predictor(network, config), tmp_path / "model.tflite", info, tflite_type, SIZE)


def test_unknown_type_is_an_error(predictor, info, tmp_path):
    with pytest.raises(ValueError, match="`tflite_type` must be one of float32, float16, int8, got 'int4'"):
        export_tflite(predictor, tmp_path / "model.tflite", info, "int4", SIZE)
