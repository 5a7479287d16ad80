"""Evaluation during a training: what it counts and shows, and that the training does not notice it."""

import random

import keras
import numpy as np
import pytest
from tiny_network import tiny_network

from deeplab_dpc.checkpoint.names import named_arrays
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.evaluator import evaluate
from deeplab_dpc.evaluation.validation import Validator
from deeplab_dpc.models.predictor import Predictor
from deeplab_dpc.models.segmenter import build_segmenter

CONFIG = tiny_network(num_classes=7)


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(3)
    return build_segmenter(CONFIG)


@pytest.fixture(scope="module")
def validator(shapes):
    return Validator(CONFIG, shapes, "val", num_panels=2)


def one_class(network, class_id):
    """Weights with which every pixel is of that class."""
    arrays = named_arrays(network)
    arrays["logits/semantic/weights"] = np.zeros_like(arrays["logits/semantic/weights"])
    arrays["logits/semantic/biases"] = np.eye(7, dtype=np.float32)[class_id]
    return arrays


def test_scores_are_those_of_the_evaluation(shapes, network, validator):
    sums = evaluate(Predictor(network), shapes, "val").sums()
    found = validator(named_arrays(network))
    assert found.scalars == {
        "miou": sums.mean_iou(),
        "pixel_accuracy": sums.pixel_accuracy(),
        "mean_class_accuracy": sums.mean_class_accuracy(),
    }
    assert list(found.per_class_iou) == list(shapes.info.class_names)
    np.testing.assert_array_equal(np.array([*found.per_class_iou.values()], float), sums.per_class_iou())


def test_scores_and_panels_are_of_the_weights_of_each_call(shapes, network, validator):
    background, other = (validator(one_class(network, class_id)) for class_id in (0, 1))
    names = shapes.info.class_names
    assert background.per_class_iou[names[0]] == background.scalars["pixel_accuracy"]
    assert background.scalars["mean_class_accuracy"] == pytest.approx(
        1 / sum(iou is not None for iou in background.per_class_iou.values())
    )
    assert other.per_class_iou[names[0]] == 0
    # Two panels of image, label and prediction, 65 x 81 pixels each, the prediction last.
    for found, class_id in ((background, 0), (other, 1)):
        assert found.panels.shape[0] == 2
        assert (found.panels[:, 20:85, 180:261] == shapes.info.palette[class_id]).all()


def test_nothing_is_printed(network, validator, capfd):
    validator(named_arrays(network))
    assert capfd.readouterr() == ("", "")


def test_random_numbers_of_the_training_are_undisturbed(shapes, network):
    def draws(evaluated):
        keras.utils.set_random_seed(1)
        drawn = [np.asarray(keras.random.uniform((3,)))]
        if evaluated:
            Validator(CONFIG, shapes, "val")(named_arrays(network))
        initial = keras.layers.Dense(3)
        initial.build((None, 2))
        drawn += [np.asarray(keras.random.uniform((3,))), np.random.rand(3), np.asarray(initial.kernel)]  # noqa: NPY002
        return [*map(np.ndarray.tolist, drawn), random.random()]

    assert draws(evaluated=True) == draws(evaluated=False)


def test_names_and_precision_of_the_training_are_undisturbed(shapes, network, validator):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        first = int(keras.layers.Dense(1).name.split("_")[-1])
        found = Validator(CONFIG, shapes, "val")(named_arrays(network))
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        assert int(keras.layers.Dense(1).name.split("_")[-1]) == first + 1
    finally:
        keras.config.set_dtype_policy(before)
    # In float32, so equal to that without mixed precision.
    assert found.scalars == validator(named_arrays(network)).scalars


def test_weights_of_another_network_are_refused(network, validator):
    arrays = named_arrays(network)
    del arrays["logits/semantic/biases"]
    with pytest.raises(UserError, match="logits/semantic/biases is absent or has another shape"):
        validator(arrays)
