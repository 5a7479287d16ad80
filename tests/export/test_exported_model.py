"""An exported model as a predictor: sizes, and one sentence for whatever is no model."""

import dataclasses
import json
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from deeplab_dpc.errors import UserError
from deeplab_dpc.export.exported_model import ExportedModel, load_exported_model
from deeplab_dpc.export.saved_model import export_saved_model


class _RedIsTheClass:
    """A runtime for images of 2 x 3 pixels whose class ids are the red channel."""

    size: tuple[int, int] | None = (2, 3)

    def __init__(self, info):
        self.info = info
        self.seen = None

    def class_ids(self, images):
        self.seen = images
        return images[..., 0].astype("int32")

    def probabilities(self, images):
        return np.eye(256, dtype="float32")[self.class_ids(images)]


@pytest.fixture
def runtime(info):
    return _RedIsTheClass(info)


@pytest.fixture(scope="module")
def saved_model(predictor, info, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model"
    export_saved_model(predictor, path, info)
    return path


def test_smaller_image_is_padded_with_grey_and_the_answer_is_cut(runtime, tmp_path):
    images = np.array([[[[1, 2, 3], [4, 5, 6]]]], np.uint8)
    model = ExportedModel(tmp_path, runtime)
    np.testing.assert_array_equal(model.predict_batch(images), [[[1, 4]]])
    np.testing.assert_array_equal(runtime.seen[0, ..., 1], [[2, 5, 128], [128, 128, 128]])
    assert runtime.seen.dtype == np.uint8
    assert model.predict_probabilities(images).shape == (1, 1, 2, 256)


def test_image_of_the_size_is_not_copied(runtime, tmp_path):
    images = np.zeros((1, 2, 3, 3), np.uint8)
    ExportedModel(tmp_path, runtime).predict_batch(images)
    assert runtime.seen is images


def test_larger_image_is_refused(runtime):
    model = ExportedModel("m.tflite", runtime)
    model.check_size(np.zeros((2, 3, 3)), "a.png")
    with pytest.raises(UserError, match=r"a.png is 2 x 4 pixels, larger than 2 x 3, which m.tflite was exported for"):
        model.check_size(np.zeros((2, 4, 3)), "a.png")


def test_crop_that_the_graph_pads_to_is_a_limit_too(runtime):
    runtime.size = None
    runtime.info = dataclasses.replace(runtime.info, inference={"eval_crop_size": [5, 6]})
    model = ExportedModel("m.onnx", runtime)
    assert model.size == (5, 6)
    images = np.zeros((1, 2, 4, 3), np.uint8)
    model.predict_batch(images)
    assert runtime.seen is images
    with pytest.raises(UserError, match="a.png is 6 x 6 pixels"):
        model.check_size(np.zeros((6, 6, 3)), "a.png")


def test_saved_model_predicts_as_keras_and_knows_its_classes(saved_model, predictor, info, rng):
    images = rng.integers(0, 256, size=(2, 40, 71, 3)).astype("uint8")
    model = load_exported_model(saved_model)
    np.testing.assert_array_equal(model.predict_batch(images), predictor.predict_batch(images))
    np.testing.assert_allclose(model.predict_probabilities(images), predictor.predict_probabilities(images), atol=1e-5)
    assert (model.class_names, model.num_classes, model.ignore_label) == (("a", "b", "c", "d"), 4, 255)
    assert (model.palette, model.source, model.size) == (info.palette, info.source, None)


def test_fixed_size_of_a_saved_model_is_known(info, tmp_path):
    _write_saved_model(tmp_path, info, (8, 9))
    assert load_exported_model(tmp_path).size == (8, 9)


def test_somebody_elses_saved_model_is_refused(tmp_path):
    _write_saved_model(tmp_path, None)
    with pytest.raises(UserError, match="was not written by export.py: it has no assets.extra/model_info.json"):
        load_exported_model(tmp_path)


def test_saved_model_without_a_signature_is_refused(info, tmp_path):
    _write_saved_model(tmp_path, info, names=("serving_default",))
    with pytest.raises(UserError, match="has no signature probabilities"):
        load_exported_model(tmp_path)


def test_damaged_saved_model_is_one_sentence(info, tmp_path):
    _write_saved_model(tmp_path, info)
    (tmp_path / "saved_model.pb").write_bytes(b"\xff" * 100)
    with pytest.raises(UserError, match=r"is damaged \(.*\); export it again"):
        load_exported_model(tmp_path)


def test_tflite_file_that_is_cut_is_one_sentence(tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(100))
    with pytest.raises(UserError, match="model.tflite is damaged, or no TFLite file of export.py"):
        load_exported_model(tmp_path / "model.tflite")


def test_tflite_file_whose_model_is_damaged_is_one_sentence(info, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(100))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model_info.json", json.dumps(info.to_json()))
    with pytest.raises(UserError, match=r"The TFLite file .*model.tflite is damaged \(.*\); export it again"):
        load_exported_model(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "absent does not exist; give what export.py wrote"),
        ("absent.tflite", "absent.tflite does not exist"),
        ("absent.onnx", "absent.onnx does not exist"),
        ("notes.txt", "notes.txt is neither a directory nor a .tflite or .onnx file"),
        ("folder", "folder is not a SavedModel: it holds no saved_model.pb"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path, name, message):
    (tmp_path / "notes.txt").write_text("a note")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=message):
        load_exported_model(tmp_path / name)


def _write_saved_model(path, info, size=(None, None), names=("serving_default", "probabilities")):
    """One that answers with zeros."""
    spec = tf.TensorSpec([None, *size, 3], tf.uint8, name="image")
    function = tf.function(lambda image: {"semantic": tf.zeros(tf.shape(image)[:3], tf.int32)}, [spec])
    tf.saved_model.save(tf.Module(), str(path), signatures=dict.fromkeys(names, function))
    if info is not None:
        (path / "assets.extra").mkdir()
        (path / "assets.extra" / "model_info.json").write_text(json.dumps(info.to_json()))
