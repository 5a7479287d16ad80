"""Pictures of cells."""

import numpy as np
import pytest
from PIL import Image

from deeplab_dpc.arch import drawing
from deeplab_dpc.arch.cell import BACKBONE, Branch, Cell
from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.arch.operations import AtrousConv, Conv1x1, PyramidPooling


def count_pixels(path, color):
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    rgb = tuple(int(color[start : start + 2], 16) for start in (1, 3, 5))
    return int((pixels == rgb).all(axis=-1).sum())


def test_picture_shows_each_kind_of_operation_in_its_colour(tmp_path):
    path = tmp_path / "aspp.png"
    drawing.draw_cell(load_cell("aspp"), path, title="ASPP")
    conv, atrous, pooling = (
        count_pixels(path, color) for color in (Conv1x1.COLOR, AtrousConv.COLOR, PyramidPooling.COLOR)
    )
    assert pooling > 10_000
    assert conv / pooling == pytest.approx(1.7, abs=0.15)  # a branch and the projection, a lower box
    assert atrous / pooling == pytest.approx(3, abs=0.2)  # three branches


def test_picture_without_atrous_convolution_has_none_of_its_colour(tmp_path):
    drawing.draw_cell(load_cell("conv1x1"), tmp_path / "conv1x1.png")
    assert count_pixels(tmp_path / "conv1x1.png", "#b5d3f0") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["conv1x1.png"]


def test_branches_stand_below_and_right_of_what_they_read():
    inputs = [BACKBONE, BACKBONE, 0, 1, 0, 2]
    cell = Cell(tuple(Branch(source, Conv1x1()) for source in inputs))
    columns, rows = drawing._layout(cell)
    assert columns == [0, 4, 1, 5, 3, 2]
    assert rows == [1, 1, 2, 2, 2, 3]


def image_size(path):
    with Image.open(path) as image:
        return image.size


def test_long_chain_grows_the_picture(tmp_path):
    chain = Cell(tuple(Branch(index - 1, Conv1x1()) for index in range(8)))
    drawing.draw_cell(chain, tmp_path / "chain.png")
    drawing.draw_cell(load_cell("conv1x1"), tmp_path / "one.png")
    wide, narrow = (image_size(tmp_path / name) for name in ("chain.png", "one.png"))
    assert wide[0] > 5 * narrow[0]
    assert wide[1] > 2 * narrow[1]
