"""The SavedModel gives what the Keras model gives, at any size, and appears whole or not at all."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.export.saved_model import MODEL_INFO, export_saved_model
from deeplab_dpc.models.predictor import Predictor
from deeplab_dpc.models.segmenter import build_segmenter


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A predictor whose weights spread the predictions over the classes, and its SavedModel."""
    keras.utils.set_random_seed(0)
    model = build_segmenter(ModelConfig(num_classes=4, depth_multiplier=0.1, dense_prediction_cell=load_cell("psp")))
    kernel = model.logits.semantic.kernel
    rng = np.random.default_rng(0)
    kernel.assign(rng.normal(size=kernel.shape))
    logits = np.asarray(model(rng.uniform(0, 255, size=(1, 65, 97, 3)).astype("float32")))
    model.logits.semantic.bias.assign(-logits.mean(axis=(0, 1, 2)))
    predictor = Predictor(model)
    path = tmp_path_factory.mktemp("export") / "model"
    export_saved_model(predictor, path, {"class_names": ["a", "b", "c", "d"]})
    return predictor, path, tf.saved_model.load(str(path))


@pytest.mark.parametrize("size", [(65, 97), (50, 71)])
def test_argmax_is_the_same_in_batches_of_two_at_two_sizes(exported, rng, size):
    predictor, _, loaded = exported
    images = rng.integers(0, 256, size=(2, *size, 3)).astype("uint8")
    outputs = loaded.signatures["serving_default"](image=tf.constant(images))
    np.testing.assert_array_equal(outputs["semantic"], predictor.predict_batch(images))
    np.testing.assert_allclose(outputs["probabilities"], predictor.predict_probabilities(images), atol=1e-5)
    assert (outputs["semantic"].dtype, outputs["semantic"].shape) == (tf.int32, (2, *size))
    assert (outputs["probabilities"].dtype, outputs["probabilities"].shape) == (tf.float32, (2, *size, 4))
    assert len(np.unique(outputs["semantic"])) > 1


def test_facts_about_the_model_travel_with_it(exported):
    _, path, _ = exported
    assert json.loads((path / "assets.extra" / MODEL_INFO).read_text()) == {"class_names": ["a", "b", "c", "d"]}


def test_existing_export_is_not_overwritten(exported):
    predictor, path, _ = exported
    with pytest.raises(UserError, match="exists; give a new directory"):
        export_saved_model(predictor, path, {})


def test_failed_export_leaves_nothing(exported, tmp_path, monkeypatch):
    predictor, _, _ = exported

    def fail(module, path, signatures):
        (tmp_path / "seen").write_text(path)
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(UserError, match="cannot be written: No space left on device"):
        export_saved_model(predictor, tmp_path / "model", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seen"]
