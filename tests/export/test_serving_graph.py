"""Images that are scaled down for the network, class ids that are upsampled, and options that exclude each other."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab_dpc.config import InferenceConfig, SavedModelOptions
from deeplab_dpc.errors import UserError
from deeplab_dpc.export.serving_graph import FrozenNetwork, ServingGraph
from deeplab_dpc.models.predictor import Predictor


@pytest.fixture
def image(rng):
    """Two pictures of smooth colours, [2, 60, 90, 3]."""
    small = rng.integers(0, 256, size=(2, 6, 9, 3)).astype("float32")
    return tf.image.resize(small, (60, 90)).numpy().astype("uint8")


def test_larger_images_are_scaled_down_and_the_answer_back(predictor, image):
    graph = ServingGraph(predictor, SavedModelOptions(max_side=45))
    half = tf.image.resize(image, (30, 45), antialias=True).numpy()
    answer = graph.predict_batch(image)
    # Each pixel of the half size becomes two by two.
    np.testing.assert_array_equal(answer, predictor.predict_batch(half).repeat(2, axis=1).repeat(2, axis=2))
    assert answer.dtype == np.int32
    probabilities = graph.predict_probabilities(image)
    assert probabilities.shape == (2, 60, 90, 4)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-5)


def test_images_of_max_side_are_predicted_as_they_are(predictor, image):
    graph = ServingGraph(predictor, SavedModelOptions(max_side=90))
    np.testing.assert_array_equal(graph.predict_batch(image), predictor.predict_batch(image))


def test_the_shorter_side_keeps_a_pixel(predictor):
    graph = ServingGraph(predictor, SavedModelOptions(max_side=8))
    assert graph.predict_batch(np.zeros((1, 1, 40, 3), "uint8")).shape == (1, 1, 40)


def test_argmax_before_upsampling_takes_the_nearest_logit(predictor, network, image):
    graph = ServingGraph(predictor, SavedModelOptions(argmax_before_upsampling=True))
    padded = np.full((2, 65, 97, 3), 127.5, "float32")
    padded[:, :60, :90] = image
    coarse = np.asarray(network(padded, training=False)).argmax(axis=-1)  # [2, 5, 7], a logit every 16 pixels
    rows, columns = (np.arange(60) + 8) // 16, (np.arange(90) + 8) // 16
    np.testing.assert_array_equal(graph.predict_batch(image), coarse[:, rows][:, :, columns])
    assert len(np.unique(coarse)) > 1


def test_a_frozen_network_serves_several_scales_and_cannot_be_trained(predictor, image):
    several = Predictor(predictor.segmenter, InferenceConfig(eval_scales=(0.75, 1.25)))
    frozen = FrozenNetwork(predictor.segmenter)
    graph = ServingGraph(Predictor(frozen, several.config), SavedModelOptions())
    np.testing.assert_array_equal(graph.predict_batch(image), several.predict_batch(image))
    with pytest.raises(ValueError, match="cannot be trained"):
        frozen(tf.zeros([1, 33, 33, 3]), training=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"export_size": (5,)}, "--export_size must be HEIGHT,WIDTH in pixels, got 5"),
        ({"export_size": (0, 5)}, "--export_size must be HEIGHT,WIDTH in pixels, got 0,5"),
        ({"max_side": 0}, "--max_side must be at least 1 pixel, got 0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        SavedModelOptions(**options)


@pytest.mark.parametrize(
    ("options", "inference", "message"),
    [
        ({}, {"sliding_window": (65, 65)}, "--sliding_window is not part of an exported model"),
        ({"argmax_before_upsampling": True}, {"add_flipped_images": True}, "has no probabilities to average"),
        ({"export_size": (33, 66)}, {"eval_crop_size": (65, 65)}, "must not be larger than --eval_crop_size"),
    ],
)
def test_options_that_exclude_each_other_are_refused(predictor, options, inference, message):
    with pytest.raises(UserError, match=message):
        SavedModelOptions(**options).check(InferenceConfig(**inference))
