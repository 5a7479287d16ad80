"""An exported model as a predictor: sizes, and one sentence for whatever is not a model."""

import dataclasses
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from deeplab_dpc.errors import UserError
from deeplab_dpc.export.exported_model import ExportedModel, load_exported_model
from deeplab_dpc.export.saved_model import seal_saved_model
from deeplab_dpc.export.tflite import with_info


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


def test_smaller_image_is_padded_with_grey_and_the_answer_is_cut(runtime, tmp_path):
    images = np.array([[[[1, 2, 3], [4, 5, 6]]]], np.uint8)
    model = ExportedModel(tmp_path, runtime)
    np.testing.assert_array_equal(model.predict_batch(images), [[[1, 4]]])
    np.testing.assert_array_equal(runtime.seen[0, ..., 1], [[2, 5, 128], [128, 128, 128]])
    assert runtime.seen.dtype == np.uint8
    assert model.predict_probabilities(images).shape == (1, 1, 2, 256)


def test_smaller_image_is_padded_with_the_mean_pixel_of_the_network(info, tmp_path):
    runtime = _RedIsTheClass(dataclasses.replace(info, model={**info.model, "model_variant": "resnet_v1_101"}))
    ExportedModel(tmp_path, runtime).predict_batch(np.zeros((1, 1, 2, 3), np.uint8))
    np.testing.assert_array_equal(runtime.seen[0, 1], [[123, 116, 103]] * 3)


def test_image_of_the_size_is_not_copied(runtime, tmp_path):
    images = np.zeros((1, 2, 3, 3), np.uint8)
    ExportedModel(tmp_path, runtime).predict_batch(images)
    assert runtime.seen is images


def test_larger_image_is_refused(runtime):
    model = ExportedModel(pathlib.Path("/home/someone/m.tflite"), runtime)  # whose place is no client's concern
    with pytest.raises(UserError, match="The image is 2 x 4 pixels, larger than 2 x 3"):
        model.predict_batch(np.zeros((1, 2, 4, 3), np.uint8))
    model.check_size(np.zeros((2, 3, 3)), "a.png")
    with pytest.raises(UserError, match=r"a.png is 2 x 4 pixels, .* for; .* with --export_size=2,4\.$"):
        model.check_size(np.zeros((2, 4, 3)), "a.png")


def test_crop_that_the_graph_pads_to_is_a_limit_too(runtime):
    runtime.size = None
    runtime.info = dataclasses.replace(runtime.info, inference={"eval_crop_size": [5, 6]})
    model = ExportedModel(pathlib.Path("m.onnx"), runtime)
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
    with pytest.raises(UserError, match="was written by another program or an older version: it has no SHA256SUMS"):
        load_exported_model(tmp_path)


def test_saved_model_without_a_signature_is_refused(info, tmp_path):
    _write_saved_model(tmp_path, info, names=("serving_default",))
    with pytest.raises(UserError, match="has no signature probabilities"):
        load_exported_model(tmp_path)


@pytest.mark.parametrize(
    "name", ["saved_model.pb", "assets.extra/model_info.json", "variables/variables.index", "fingerprint.pb"]
)
def test_every_file_of_a_saved_model_is_the_exported_one(name, saved_model, tmp_path):
    model = shutil.copytree(saved_model, tmp_path / "model")
    content = (model / name).read_bytes()
    (model / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match=f"The SavedModel .*model is damaged: {name} is not the file that was exported"):
        load_exported_model(model)
    (model / name).unlink()
    with pytest.raises(UserError, match=f"is incomplete: {name} is missing"):
        load_exported_model(model)


def test_facts_of_another_model_do_not_fit_a_saved_model(saved_model, info, tmp_path):
    model, other = shutil.copytree(saved_model, tmp_path / "model"), tmp_path / "other"
    _write_saved_model(other, dataclasses.replace(info, class_names=tuple("dcba")))
    shutil.copy(other / "assets.extra" / "model_info.json", model / "assets.extra")
    with pytest.raises(UserError, match="model_info.json is not the file that was exported with it"):
        load_exported_model(model)


def test_digests_that_leave_the_graph_out_are_damaged(saved_model, tmp_path):
    sums = shutil.copytree(saved_model, tmp_path / "model") / "assets.extra" / "SHA256SUMS"
    sums.write_text("".join(line for line in sums.read_text().splitlines(True) if "saved_model.pb" not in line))
    with pytest.raises(UserError, match="SHA256SUMS is damaged"):
        load_exported_model(tmp_path / "model")


def test_warm_up_requests_may_be_replaced(saved_model, tmp_path):
    model = shutil.copytree(saved_model, tmp_path / "model")
    (model / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"own requests")
    assert load_exported_model(model).class_names == tuple("abcd")


def test_path_with_brackets_and_bytes_that_are_not_utf8_is_a_path(saved_model, predictor, tmp_path, rng):
    images = rng.integers(0, 256, size=(1, 20, 30, 3)).astype("uint8")
    folder = tmp_path / os.fsdecode(b"runs[v2] stra\xdfe*")
    folder.mkdir()
    model = load_exported_model(shutil.copytree(saved_model, folder / "1"))
    np.testing.assert_array_equal(model.predict_batch(images), predictor.predict_batch(images))


@pytest.mark.parametrize("name", ["model.tflite", "model.onnx"])
def test_file_without_a_digest_is_refused_unread(name, tmp_path):
    (tmp_path / name).write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(100))
    with pytest.raises(UserError, match=f"{name} is not a complete file of deeplab-dpc export"):
        load_exported_model(tmp_path / name)


def test_tflite_file_that_the_runtime_does_not_know_is_one_sentence(info, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(with_info(b"\x1c\x00\x00\x00TFL3" + bytes(100), info))
    with pytest.raises(UserError, match=r"TensorFlow [0-9.]+ cannot load .*model.tflite: .*; export it again"):
        load_exported_model(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "absent does not exist; give a model that deeplab-dpc export wrote"),
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
        seal_saved_model(path, info)
