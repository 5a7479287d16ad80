"""The weights of a cell's branches (arXiv:1809.04184, Fig. 5b)."""

import types

import numpy as np
import pytest
from PIL import Image

from deeplab_dpc.arch import drawing
from deeplab_dpc.arch.cell import BACKBONE, Branch, Cell
from deeplab_dpc.arch.operations import AtrousConv, Conv1x1, PyramidPooling
from deeplab_dpc.arch.picture_file import DPI
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.branch_weights import (
    branch_rows,
    branch_weights,
    draw_branch_weights,
    untrained_weight,
)
from deeplab_dpc.layers.aspp import ASPP
from deeplab_dpc.layers.dense_prediction_cell import DensePredictionCell

CELL = Cell(
    (Branch(BACKBONE, AtrousConv((1, 6))), Branch(0, Conv1x1()), Branch(BACKBONE, PyramidPooling((2, 2)))),
)


def network(head):
    """Stands for a Segmenter: its context module."""
    return types.SimpleNamespace(head=head)


def built_head(filters):
    head = DensePredictionCell(CELL, filters=filters)
    head.build((None, None, None, 5))
    return head


def test_weights_are_mean_absolutes_of_each_branchs_inputs():
    head = built_head(filters=2)
    kernel = np.array([[1, -1], [3, -3], [0, 0.5], [0, 0], [-4, 4], [4, -4]])  # two inputs a branch, two outputs
    head.projection.kernel.assign(kernel.reshape(1, 1, 6, 2))
    assert branch_weights(network(head)) == [2.0, 0.125, 4.0]


def test_batch_norm_does_not_enter():
    head = built_head(filters=2)
    before = branch_weights(network(head))
    for variable in head.projection.batch_norm.variables:
        variable.assign(variable + 3)
    assert branch_weights(network(head)) == before


def test_untrained_weight_is_that_of_a_new_projection():
    assert untrained_weight(5) == pytest.approx(0.03125)  # sqrt(6 / (6 * 256)) / 2
    weights = branch_weights(network(built_head(filters=256)))
    assert weights == pytest.approx([untrained_weight(3)] * 3, rel=0.02)


def test_network_without_a_cell_is_refused():
    with pytest.raises(UserError, match=r"no dense prediction cell, .*--dense_prediction_cell_json"):
        branch_weights(network(ASPP((6, 12, 18))))


def test_rows_compare_with_the_untrained_projection():
    untrained = untrained_weight(3)
    assert branch_rows(CELL, [2 * untrained, untrained, 0.01]) == [
        ("0: 3x3 atrous conv, rate 1x6", "0.07655", "+100.0 %"),
        ("1: 1x1 conv", "0.03827", "+0.0 %"),
        ("2: pyramid pooling, grid 2x2", "0.01000", "-73.9 %"),
    ]


def test_bars_are_as_long_as_the_weights_in_the_colours_of_the_cell(tmp_path):
    """Doubling a branch's weight doubles its bar, and the cell beside it stays."""

    def areas(weights):
        draw_branch_weights(CELL, weights, tmp_path / "bars.png")
        with Image.open(tmp_path / "bars.png") as picture:
            pixels = np.asarray(picture.convert("RGB"))
        bars = pixels[:, round(3 * drawing.COLUMN_INCHES * DPI) :]
        colors = [
            tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))
            for color in (Conv1x1.COLOR, AtrousConv.COLOR, PyramidPooling.COLOR)
        ]
        return [(bars == color).all(axis=-1).sum() for color in colors]

    conv, atrous, pooling = areas([0.08, 0.04, 0.02])
    assert conv / pooling == pytest.approx(2, abs=0.1)
    assert atrous / pooling == pytest.approx(4, abs=0.2)
    assert [path.name for path in tmp_path.iterdir()] == ["bars.png"]


def test_weights_of_another_cell_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`weights` must be one a branch: 3, got 2"):
        draw_branch_weights(CELL, [0.1, 0.2], tmp_path / "bars.png")
