"""Segmenter: counts and batch norm decay."""

import keras
import numpy as np
import pytest

from deeplab_dpc.arch.cell_formulas import cell_cost
from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.layers.dense_prediction_cell import DensePredictionCell
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
