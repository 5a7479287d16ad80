"""Receptive fields by hand."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab_dpc.arch.cell import BACKBONE, Branch, Cell
from deeplab_dpc.arch.cell_formulas import receptive_field
from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.arch.operations import AtrousConv, Conv1x1, PyramidPooling
from deeplab_dpc.arch.operations.pyramid_pooling import pooled_extent
from deeplab_dpc.layers.dense_prediction_cell import DensePredictionCell


def chain(*operations):
    return Cell(tuple(Branch(index - 1, operation) for index, operation in enumerate(operations)))


def test_a_1x1_convolution_sees_its_place():
    assert receptive_field(chain(Conv1x1(), Conv1x1()), 33, 33, 16) == (1, 1)


def test_an_atrous_convolution_adds_twice_its_rate_along_each_axis():
    assert receptive_field(chain(AtrousConv((1, 6))), 33, 33, 16) == (3, 13)
    assert receptive_field(chain(AtrousConv((1, 6)), Conv1x1(), AtrousConv((3, 1))), 33, 33, 16) == (9, 15)


def test_what_goes_beyond_the_map_counts():
    assert receptive_field(chain(AtrousConv((21, 1))), 21, 21, 16) == (43, 3)


def test_the_longest_path_counts_along_each_axis():
    branches = (Branch(BACKBONE, AtrousConv((1, 6))), Branch(BACKBONE, AtrousConv((9, 1))), Branch(0, Conv1x1()))
    assert receptive_field(Cell(branches), 33, 33, 16) == (19, 13)


def test_pooling_over_one_cell_sees_the_whole_side():
    assert receptive_field(chain(PyramidPooling((1, 1))), 33, 65, 16) == (33, 65)


@pytest.mark.parametrize(
    ("side", "grid", "extent"),
    [
        (33, 1, 33),
        (33, 2, 33),  # both halves
        (8, 4, 4),  # two cells of two
        (5, 5, 1),  # outputs are at the grid's points
        (4, 3, 3),  # cells [0, 2), [1, 3), [2, 4), of which every inner output is between two
        (21, 8, 7),  # cells 3 and 4 cover [7, 11) and [10, 14)
        (4, 8, 1),
        (1, 4, 1),
    ],
)
def test_extent_of_pooling_by_hand(side, grid, extent):
    assert pooled_extent(side, grid) == extent


def test_pooling_adds_its_extent_to_what_it_reads():
    # A grid of 4 on 8 covers 4, that is 3 more than one place; on 33 rows 1 grid cell covers all of them.
    assert receptive_field(chain(AtrousConv((1, 1)), PyramidPooling((1, 4))), 33, 8, 16) == (3 + 32, 3 + 3)


@pytest.mark.parametrize(("output_stride", "field"), [(8, (25, 13)), (16, (13, 7)), (32, (7, 3))])
def test_rates_follow_the_output_stride(output_stride, field):
    assert receptive_field(chain(AtrousConv((6, 3))), 33, 33, output_stride) == field


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_formula_is_the_support_of_the_gradient_of_the_layer(output_stride):
    cell = chain(AtrousConv((6, 3)), Conv1x1(), AtrousConv((1, 1)))
    layer = DensePredictionCell(cell, output_stride, filters=1, dropout=0.0)
    features = tf.ones((1, 41, 41, 1))
    layer.build(features.shape)
    for weight in layer.trainable_variables:
        weight.assign(tf.ones(weight.shape))  # so that nothing cancels, and all activations are positive
    with tf.GradientTape() as tape:
        tape.watch(features)
        center = layer(features, training=False)[0, 20, 20, 0]
    places = np.argwhere(tape.gradient(center, features).numpy()[0, :, :, 0])
    assert tuple(np.ptp(places, axis=0) + 1) == receptive_field(cell, 41, 41, output_stride)


def test_published_cells():
    assert receptive_field(load_cell("conv1x1"), 33, 33, 16) == (1, 1)
    assert receptive_field(load_cell("aspp"), 21, 33, 16) == (37, 37)  # 2 * 18 + 1, more than the pooled image
    # Branch 2 reads branch 1, which reads branch 0, with rates 6x3, 18x15 and 1x6: rows 2 * 25 + 1. Branch 4 reads
    # branch 0 with rate 6x21: columns 2 * (6 + 21) + 1, more than the 2 * (6 + 15 + 3) + 1 of branch 2.
    assert receptive_field(load_cell("dpc_top1"), 33, 33, 16) == (51, 55)
