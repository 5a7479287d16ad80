"""Counts by formula against counts by hand."""

import pytest

from deeplab_dpc.arch.cell import BACKBONE, Branch, Cell
from deeplab_dpc.arch.cell_formulas import branch_norm_multiply_adds, cell_cost
from deeplab_dpc.arch.cost import Cost, conv_cost, depthwise_cost, total_cost
from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.arch.operations import AtrousConv, Conv1x1, PyramidPooling


def test_costs_add():
    assert Cost(1, 2, 20) + Cost(300, 40, 4000) == Cost(301, 42, 4020)
    assert total_cost([]) == Cost(0, 0, 0)
    assert Cost(300, 40, 4000).trainable_parameters == 340


def test_convolution_with_batch_norm_and_with_bias():
    assert conv_cost(1, 2, 5, height=3, width=4) == Cost(10, 10, 10 * 12)
    assert conv_cost(3, 2, 5, height=3, width=4, batch_norm=False) == Cost(90 + 5, 0, 90 * 12)


def test_depthwise_convolution():
    assert depthwise_cost(3, 5, height=3, width=4) == Cost(45, 10, 45 * 12)


def test_each_operation_of_a_small_cell():
    def cost(operation):
        return cell_cost(Cell((Branch(BACKBONE, operation),)), 10, 20, 3, filters=4, include_projection=False)

    assert cost(Conv1x1()) == Cost(12, 8, 12 * 200)
    assert cost(AtrousConv((6, 1))) == Cost(27 + 12, 6 + 8, (27 + 12) * 200)
    assert cost(PyramidPooling((2, 4))) == Cost(12, 8, 12 * 8)


def test_later_branches_read_filters_and_the_projection_reads_them_all():
    cell = Cell((Branch(BACKBONE, Conv1x1()), Branch(0, Conv1x1())))
    branches = Cost(12 + 16, 8 + 8, (12 + 16) * 200)
    assert cell_cost(cell, 10, 20, 3, filters=4, include_projection=False) == branches
    assert cell_cost(cell, 10, 20, 3, filters=4) == branches + Cost(8 * 4, 8, 32 * 200)


def test_norm_of_a_branch_counts_once_an_element():
    cell = Cell((Branch(BACKBONE, Conv1x1()), Branch(0, PyramidPooling((2, 4)))))
    assert branch_norm_multiply_adds(cell, 10, 20, filters=4) == 4 * (200 + 8)


@pytest.mark.parametrize(
    ("channels", "parameters", "multiply_adds"), [(320, "0.36M", "3.00B"), (2048, "0.81M", "6.84B")]
)
def test_published_cell_has_the_printed_figures(channels, parameters, multiply_adds):
    cell = load_cell("dpc_top1")
    counted = cell_cost(cell, 65, 129, channels, include_projection=False)
    printed = counted.multiply_adds + branch_norm_multiply_adds(cell, 65, 129)
    assert f"{counted.parameters / 1e6:.2f}M" == parameters
    assert f"{printed / 1e9:.2f}B" == multiply_adds


def test_trainable_parameters_of_the_published_cell():
    # Kernels 9 * 320 + 320 * 256 and four times 9 * 256 + 256 * 256; gamma and beta of ten batch norms.
    assert cell_cost(load_cell("dpc_top1"), 1, 1, 320, include_projection=False).trainable_parameters == 361408
