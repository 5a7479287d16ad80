"""Drop path: which branches are dropped, how probably, and that nothing changes where it is off."""

import keras
import numpy as np
import pytest
from keras import ops

from deeplab_dpc.config import ModelConfig
from deeplab_dpc.layers.drop_path import DropPath, keep_probabilities
from deeplab_dpc.models.backbones import backbone_class
from deeplab_dpc.models.backbones.mobilenet import InvertedResidual
from deeplab_dpc.models.backbones.resnet import Bottleneck
from deeplab_dpc.models.backbones.xception import XceptionModule
from deeplab_dpc.models.segmenter import build_segmenter

ALMOST_NEVER = 1e-6  # a keep probability so small that every branch of a test is dropped
UNITS = {
    "inverted_residual": (lambda p: InvertedResidual(3, 3, 18, drop_path_keep_prob=p), lambda x: x),
    "identity_xception": (lambda p: XceptionModule((3, 3, 3), "sum", drop_path_keep_prob=p), lambda x: x),
    "bottleneck": (lambda p: Bottleneck(1, 4, drop_path_keep_prob=p), lambda x: np.maximum(x, 0.0)),
}


def test_keep_probability_falls_linearly_to_the_last_unit():
    np.testing.assert_allclose(keep_probabilities(0.6, 4), [0.9, 0.8, 0.7, 0.6])
    assert keep_probabilities(1.0, 3) == [1.0, 1.0, 1.0]


def test_whole_examples_are_dropped_and_the_others_divided_by_the_probability():
    x = np.arange(1.0, 1.0 + 64 * 6).reshape(64, 1, 2, 3).astype("float32")
    y = ops.convert_to_numpy(DropPath(0.8, seed=1)(x, training=True))
    kept = y[:, 0, 0, 0] > 0
    assert 40 <= kept.sum() < 64  # 51.2 on average, standard deviation 3.2
    np.testing.assert_allclose(y[kept], x[kept] / 0.8, rtol=1e-6)
    np.testing.assert_array_equal(y[~kept], 0.0)


def test_draws_differ_from_step_to_step_and_repeat_with_the_state():
    layer, x = DropPath(0.5, seed=1), np.ones((64, 1, 1, 1), "float32")
    state = ops.convert_to_numpy(layer.seed_generator.state)
    first, second = (ops.convert_to_numpy(layer(x, training=True)) for _ in range(2))
    assert not np.array_equal(first, second)
    layer.seed_generator.state.assign(state)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(x, training=True)), first)


@pytest.mark.parametrize(("keep_prob", "training"), [(0.5, False), (1.0, True)])
def test_nothing_is_dropped_in_inference_or_at_one(keep_prob, training):
    x = np.ones((16, 1, 1, 2), "float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(DropPath(keep_prob)(x, training=training)), x)


@pytest.mark.parametrize(("progress", "keep_prob"), [(0.0, 1.0), (0.25, 0.9), (1.0, 0.6)])
def test_scheduled_probability_falls_from_one_to_the_given_with_the_training(progress, keep_prob):
    """1 - 0.25 * (1 - 0.6) = 0.9; the kept are divided by it."""
    x = np.arange(1.0, 1.0 + 256).reshape(256, 1, 1, 1).astype("float32")
    y = ops.convert_to_numpy(DropPath(0.6, seed=1)(x, training=True, progress=progress))[:, 0, 0, 0]
    kept = y > 0
    assert abs(kept.mean() - keep_prob) < 0.07  # standard deviation at most 0.031
    np.testing.assert_allclose(y[kept], x[kept, 0, 0, 0] / keep_prob, rtol=1e-6)


@pytest.mark.parametrize("keep_prob", [0.0, -0.1, 1.5])
def test_probability_out_of_range_is_an_error(keep_prob):
    with pytest.raises(ValueError, match=rf"`keep_prob` must be in \(0, 1\], got {keep_prob}"):
        DropPath(keep_prob)


@pytest.mark.parametrize("name", UNITS)
def test_unit_whose_branch_is_dropped_passes_its_input_on(rng, name):
    make, passed_on = UNITS[name]
    x = rng.normal(size=(2, 5, 5, 4 if name == "bottleneck" else 3)).astype("float32")
    y = ops.convert_to_numpy(make(ALMOST_NEVER)(x, training=True))
    np.testing.assert_allclose(y, passed_on(x), rtol=1e-6)
    assert not np.allclose(ops.convert_to_numpy(make(1.0)(x, training=True)), passed_on(x), atol=1e-2)


def test_low_level_features_are_of_the_undropped_branch(rng):
    unit = Bottleneck(1, 4, tapped=True, drop_path_keep_prob=ALMOST_NEVER)
    _, low_level = unit(rng.normal(size=(1, 5, 5, 4)).astype("float32"), training=True)
    assert np.abs(ops.convert_to_numpy(low_level)).max() > 0.1


@pytest.mark.parametrize(
    ("variant", "dropping"),
    # 10 of the 17 blocks of MobileNetV2 have a residual; the last module of Xception has none.
    [("mobilenet_v2", 10), ("mobilenet_v3_small_seg", 7), ("xception_41", 12), ("resnet_v1_50_beta", 16)],
)
def test_last_residual_unit_has_the_given_probability(variant, dropping):
    backbone = backbone_class(variant)(drop_path_keep_prob=0.7)
    probabilities = [unit.drop_path_keep_prob for unit in backbone.units() if unit.drop_path is not None]
    assert len(probabilities) == dropping
    np.testing.assert_allclose(probabilities, np.linspace(1.0, 0.7, dropping + 1)[1:])
    assert all(unit.has_residual for unit in backbone.units() if unit.drop_path is not None)
    assert type(backbone).from_config(backbone.get_config()).drop_path_keep_prob == 0.7


def test_network_has_the_same_variables_with_and_without(rng):
    config = ModelConfig(num_classes=3, depth_multiplier=0.1, aspp_convs_filters=5)
    plain, dropping = build_segmenter(config), build_segmenter(config, drop_path_keep_prob=0.5)
    assert [v.path for v in dropping.weights] == [v.path for v in plain.weights]
    assert len(plain.non_trainable_variables) == len(plain.non_trainable_weights) + 1  # the dropout's random state
    assert len(dropping.non_trainable_variables) == len(plain.non_trainable_variables) + 10
    dropping.set_weights(plain.get_weights())
    image = rng.uniform(0, 255, (1, 33, 33, 3)).astype("float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(dropping(image)), ops.convert_to_numpy(plain(image)))


def test_unit_made_from_its_config_drops_as_probably():
    unit = InvertedResidual(3, 3, 18, drop_path_keep_prob=0.7)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(unit))
    assert copy.drop_path.keep_prob == 0.7
