"""Layers against values computed by hand."""

import keras
import numpy as np
import pytest
from keras import ops

from deeplab_dpc.arch.cell import BACKBONE, Branch, Cell
from deeplab_dpc.arch.operations import AtrousConv, Conv1x1
from deeplab_dpc.layers.dense_prediction_cell import DensePredictionCell
from deeplab_dpc.layers.normalization import BatchNorm, freeze_batch_norm_statistics
from deeplab_dpc.layers.pooling import grid_pool


def test_grid_pool_takes_means_of_cells():
    x = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    pooled = ops.convert_to_numpy(grid_pool(ops.convert_to_tensor(x), (2, 1)))
    np.testing.assert_allclose(pooled[0, :, :, 0], [[3.5], [11.5]])


def test_grid_cells_overlap_where_the_grid_does_not_divide_the_map():
    x = np.array([1.0, 2.0, 6.0], "float32").reshape(1, 3, 1, 1)
    pooled = ops.convert_to_numpy(grid_pool(ops.convert_to_tensor(x), (2, 1)))
    np.testing.assert_allclose(pooled.ravel(), [1.5, 4.0])  # rows 0..1 and 1..2


def test_grid_finer_than_the_map_repeats_it():
    x = np.array([1.0, 3.0], "float32").reshape(1, 2, 1, 1)
    pooled = ops.convert_to_numpy(grid_pool(ops.convert_to_tensor(x), (4, 1)))
    np.testing.assert_allclose(pooled.ravel(), [1.0, 1.0, 3.0, 3.0])


def _normalized(layer, x, training):
    return ops.convert_to_numpy(layer(ops.convert_to_tensor(x), training=training)).ravel()


def test_batch_norm_moves_its_averages_in_training_only():
    layer = BatchNorm(decay=0.5, epsilon=1e-6)
    x = np.array([1.0, 3.0], "float32").reshape(1, 2, 1, 1)  # mean 2, unbiased variance 2
    layer.build(x.shape)
    np.testing.assert_allclose(_normalized(layer, x, training=False), [1.0, 3.0], atol=1e-5)
    np.testing.assert_allclose(_normalized(layer, x, training=True), [-1.0, 1.0], atol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_mean), [1.0], atol=1e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_variance), [1.5], atol=1e-6)


def test_frozen_statistics_are_used_in_training_while_gamma_and_beta_train():
    model = keras.Sequential([keras.Input((1, 2, 1)), BatchNorm(epsilon=1e-6)])
    freeze_batch_norm_statistics(model)
    model.compile(keras.optimizers.SGD(0.1), loss="mse", jit_compile=False)
    x = np.array([1.0, 3.0], "float32").reshape(1, 1, 2, 1)
    model.train_on_batch(x, np.zeros_like(x))
    layer = model.layers[-1]
    # y = gamma * x + beta with gamma 1, beta 0: the gradients of the mean of y ** 2 are 10 and 4.
    np.testing.assert_allclose(ops.convert_to_numpy(layer.gamma), [0.0], atol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.beta), [-0.4], atol=1e-5)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.moving_mean), [0.0])
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.moving_variance), [1.0])


@pytest.mark.parametrize(
    ("output_stride", "expected"), [(8, [(2, 12), (42, 6)]), (16, [(1, 6), (21, 3)]), (32, [(1, 3), (10, 1)])]
)
def test_cell_rates_follow_the_output_stride(output_stride, expected):
    cell = Cell((Branch(BACKBONE, AtrousConv((1, 6))), Branch(0, AtrousConv((21, 3)))))
    layer = DensePredictionCell(cell, output_stride)
    assert [branch.rate for branch in layer.branches] == expected


def test_cell_concatenates_its_branches_in_order():
    cell = Cell((Branch(BACKBONE, Conv1x1()), Branch(0, Conv1x1())))
    layer = DensePredictionCell(cell, filters=1, batch_norm_epsilon=1e-12)
    layer.build((1, 1, 1, 1))
    first, second = layer.branches
    first.kernel.assign(np.full((1, 1, 1, 1), 2.0))
    second.kernel.assign(np.full((1, 1, 1, 1), 3.0))
    layer.projection.kernel.assign(np.array([[[[10.0], [1.0]]]]))
    # Branch 0 gives 2, branch 1 reads it and gives 6; 10 * 2 + 1 * 6.
    assert ops.convert_to_numpy(layer(np.ones((1, 1, 1, 1), "float32"))).item() == pytest.approx(26.0)


def test_dropout_comes_before_the_projection():
    # A dropped channel of the concatenation changes every output; one dropped after the projection would be 0.
    layer = DensePredictionCell(Cell((Branch(BACKBONE, Conv1x1()),)), filters=8, dropout=0.5)
    layer.build((1, 4, 4, 8))
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 8)).astype("float32")
    layer.projection.activation = None
    layer.projection._activate = keras.activations.linear
    outputs = ops.convert_to_numpy(layer(x, training=True))
    assert np.count_nonzero(outputs == 0.0) == 0
