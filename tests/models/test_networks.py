"""Segmenter and predictor: counts, batch norm decay, padding."""

import keras
import numpy as np
import pytest
from keras import ops

from deeplab_dpc.arch.cost import cell_cost
from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.config import InferenceConfig, ModelConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.dense_prediction_cell import DensePredictionCell
from deeplab_dpc.models.predictor import Predictor
from deeplab_dpc.models.segmenter import build_segmenter, limited_decay


def _count(variables):
    return sum(int(np.prod(variable.shape)) for variable in variables)


@pytest.fixture(scope="module")
def tiny():
    keras.utils.set_random_seed(0)
    return build_segmenter(ModelConfig(num_classes=3, depth_multiplier=0.1, dense_prediction_cell=load_cell("conv1x1")))


def test_cell_has_as_many_trainable_parameters_as_counted():
    for name in ("dpc_top1", "aspp", "psp"):
        layer = DensePredictionCell(load_cell(name))
        layer.build((None, 9, 9, 320))
        assert _count(layer.trainable_variables) == cell_cost(load_cell(name), 9, 9, 320).trainable_parameters


@pytest.mark.parametrize(("steps", "decay"), [(None, 0.9997), (90000, 0.9997), (1000, 0.99), (5, 0.0)])
def test_batch_norm_decay_is_lowered_for_short_trainings_only(steps, decay):
    assert limited_decay(0.9997, steps) == pytest.approx(decay)


@pytest.mark.parametrize(("side", "padded"), [(1, 1), (2, 17), (17, 17), (18, 33), (480, 481), (513, 513)])
def test_images_are_padded_to_the_next_aligned_side(tiny, side, padded):
    assert Predictor(tiny).class_ids._padded(side, 0) == padded


def test_predictor_pads_with_grey_upsamples_and_cuts(tiny, rng):
    image = rng.uniform(0, 255, size=(1, 20, 33, 3)).astype("float32")
    padded = np.full((1, 33, 33, 3), 127.5, "float32")
    padded[:, :20] = image
    logits = kernels.resize_align_corners(tiny(padded), 33, 33)[:, :20]
    predictor = Predictor(tiny)
    expected = ops.convert_to_numpy(ops.softmax(logits))
    np.testing.assert_allclose(predictor.predict_probabilities(image), expected, atol=1e-6)
    np.testing.assert_array_equal(predictor.predict_batch(image), ops.convert_to_numpy(ops.argmax(logits, axis=-1)))


def test_crop_size_pads_further_and_never_crops(tiny):
    predictor = Predictor(tiny, InferenceConfig(eval_crop_size=(49, 65)))
    assert predictor.predict_probabilities(np.zeros((1, 20, 33, 3), "uint8")).shape == (1, 20, 33, 3)
    with pytest.raises(UserError, match="a.png is 50 x 65 pixels, larger than --eval_crop_size=49,65"):
        predictor.check_size(np.zeros((50, 65, 3)), "a.png")
