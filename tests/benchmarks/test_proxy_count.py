"""The count of benchmarks/proxy.py, by hand: one 1x1 convolution of 8 channels on 2 images of 3 x 4, 33 x 49 labels."""

import proxy_count as count
import pytest
from generated_cache import Size, parse_size
from proxy_count import Count, Step, count_step

from deeplab_dpc.arch.cell import BACKBONE, Branch, Cell
from deeplab_dpc.arch.operations import AtrousConv, Conv1x1, PyramidPooling
from deeplab_dpc.errors import UserError

SIZE = Size(3, 4, 8, 33, 49, 2)
PLACES = 24  # 2 * 3 * 4


def _step(*operations, inputs=(BACKBONE,), nodes=0, activation_bytes=4):
    branches = [Branch(source, operation) for source, operation in zip(inputs, operations, strict=True)]
    return Step(Cell(tuple(branches)), SIZE, 2, nodes, activation_bytes)


def test_features_need_no_gradient():
    pointwise = count_step(_step(Conv1x1()))[count.POINTWISE]
    # Forward and the gradient of 8 * 256 weights; both ways 8 + 256 channels pass by.
    assert pointwise.flop == 2 * (2 * PLACES * 8 * 256)
    assert pointwise.bytes == 2 * PLACES * (8 + 256) * 4 + 8 * 256 * (4 + 4)


def test_a_branch_needs_the_gradient_of_its_input():
    pointwise = count_step(_step(Conv1x1(), Conv1x1(), inputs=(BACKBONE, 0)))[count.POINTWISE]
    assert pointwise.flop == 2 * (2 * PLACES * 8 * 256) + 3 * (2 * PLACES * 256 * 256)


def test_the_pointwise_part_of_an_atrous_convolution_of_features_passes_its_gradient_on():
    counts = count_step(_step(AtrousConv((1, 1))))
    assert counts[count.DEPTHWISE].flop == 2 * (2 * PLACES * 9 * 8)
    assert counts[count.POINTWISE].flop == 3 * (2 * PLACES * 8 * 256)


def test_the_exact_loss_is_taken_at_every_pixel():
    loss = count_step(_step(Conv1x1()))[count.LOSS]
    points, first_axis = 2 * 33 * 49 * 2, 2 * 33 * 4 * 2
    assert loss == Count(7 * (points + first_axis) + 6 * points, 4 * (2 * PLACES * 2 + 4 * points) + 2 * 33 * 49)


def test_the_separated_loss_is_taken_at_its_nodes():
    loss = count_step(_step(Conv1x1(), nodes=2))[count.LOSS]
    # 4 x 6 nodes an image; 2 * 4 * 6 * 2 = 96 values, 2 * 4 * 4 * 2 = 64 between the axes, 48 logits.
    assert loss == Count(7 * (96 + 64) + 6 * 96 + 3 * 48, 4 * (2 * 48 + 4 * 96) + 4 * (2 * 48 + 2 * 4 * 6))


def test_half_the_bytes_of_an_activation_are_half_the_bytes_of_batch_norm():
    wide, narrow = (count_step(_step(Conv1x1(), activation_bytes=size))[count.BATCH_NORM] for size in (4, 2))
    # The branch's and the projection's, eight passes each.
    assert wide.bytes == 8 * 2 * PLACES * 256 * 4
    assert narrow == Count(wide.flop, wide.bytes / 2)


def test_pooling_runs_its_convolution_at_the_points_of_the_grid():
    counts = count_step(_step(PyramidPooling((1, 2))))
    assert counts[count.POINTWISE] == Count()
    product = 3 * (2 * 4 * 8 * 256)  # 2 images of 2 points
    means, batch_norm, upsampling = PLACES * 8, 15 * 4 * 256, 7 * (PLACES + 2 * 3 * 2) * 256
    assert counts[count.POOLING].flop == product + means + batch_norm + upsampling


def test_the_floor_is_the_larger_of_both():
    assert Count(100.0, 10.0).seconds(flops=50.0, bandwidth=10.0) == 2.0
    assert Count(100.0, 40.0).seconds(flops=50.0, bandwidth=10.0) == 4.0


def test_the_labels_of_a_given_size_are_those_of_output_stride_16():
    assert parse_size("3,4,8,2") == SIZE


@pytest.mark.parametrize("text", ["small", "3,4,8", "3,4,8,0", "1,4,8,2"])
def test_a_size_that_is_none_is_refused(text):
    with pytest.raises(UserError, match="--size"):
        parse_size(text)
