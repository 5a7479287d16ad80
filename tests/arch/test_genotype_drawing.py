"""Pictures of a genotype's cell and of its path."""

import random

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from deeplab_dpc.arch.genotype import Atrous, Block, Edge, Genotype, MaxPooling, Separable, Skip
from deeplab_dpc.arch.genotype_drawing import (
    BOX_INCHES,
    COLORS,
    RAIL_INCHES,
    cell_inches,
    draw_cell_into,
    draw_genotype,
)
from deeplab_dpc.arch.genotype_space import random_genotype
from deeplab_dpc.arch.trellis_drawing import PATH_COLOR, draw_trellis, draw_trellis_into, trellis_inches

CELL = (
    Block(Edge(0, Separable(3)), Edge(0, Skip())),
    Block(Edge(2, Atrous(5)), Edge(2, MaxPooling())),
)
EQUAL = [[[1 / 3] * 3] * 4] * 4


def drawn(draw, inches):
    """Axes with the drawing in them, rendered."""
    figure = Figure(figsize=inches, dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    draw(axes)
    figure.canvas.draw()
    return axes


def text_boxes(axes):
    """Returns the boxes in pixels, by label; an arrow is a text without letters."""
    return [(text.get_text(), text.get_window_extent()) for text in axes.texts if text.get_text()]


def overlapping(boxes):
    return [
        (first, second)
        for index, (first, box) in enumerate(boxes)
        for second, other in boxes[index + 1 :]
        if box.overlaps(other)
    ]


def inside(box, frame):
    return frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def count_pixels(path, color):
    rgb = tuple(int(color[start : start + 2], 16) for start in (1, 3, 5))
    return int((pixels(path) == rgb).all(axis=-1).sum())


@pytest.mark.parametrize("num_blocks", [1, 2, 5, 8])
def test_labels_of_a_cell_overlap_neither_each_other_nor_the_border(num_blocks):
    blocks = random_genotype(random.Random(num_blocks), num_blocks, 4).blocks
    axes = drawn(lambda axes: draw_cell_into(axes, blocks), cell_inches(blocks))
    boxes = text_boxes(axes)
    assert len(boxes) >= 3 * num_blocks + 2  # operators, blocks, an input and the concatenation
    assert not overlapping(boxes)
    assert all(inside(box, axes.figure.bbox) for _, box in boxes)


def test_operators_fit_their_boxes():
    axes = drawn(lambda axes: draw_cell_into(axes, CELL), cell_inches(CELL))
    labels = {text: box for text, box in text_boxes(axes) if text in ("sep\n3x3", "skip", "atr\n5x5", "max\n3x3")}
    assert len(labels) == 4
    assert all(box.width < 100 * BOX_INCHES[0] and box.height < 100 * BOX_INCHES[1] for box in labels.values())


def test_only_states_that_are_read_have_a_rail():
    """Nothing reads H(l-2) nor block 1: a name for H(l-1) alone, and two rails."""
    axes = drawn(lambda axes: draw_cell_into(axes, CELL), cell_inches(CELL))
    assert [text for text, _ in text_boxes(axes) if text.startswith("H(")] == ["H(l-1)"]
    reads_all = (*CELL, Block(Edge(1, Skip()), Edge(3, Skip())))
    assert cell_inches(reads_all)[1] - cell_inches(CELL)[1] == pytest.approx((4 - 2) * RAIL_INCHES)


def test_picture_of_a_cell_shows_its_operators_in_their_colours(tmp_path):
    draw_genotype(Genotype(CELL, (0, 1)), tmp_path / "cell.png")
    counts = {kind: count_pixels(tmp_path / "cell.png", color) for kind, color in COLORS.items()}
    assert min(counts[Separable], counts[Atrous], counts[MaxPooling]) > 2_000
    assert counts[Separable] == pytest.approx(counts[Atrous], rel=0.2)
    draw_genotype(Genotype(CELL[:1], (0, 1)), tmp_path / "cell.png")
    assert count_pixels(tmp_path / "cell.png", COLORS[Atrous]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["cell.png"]


@pytest.mark.parametrize("num_layers", [1, 4, 12])
def test_labels_of_a_trellis_do_not_overlap(num_layers):
    probabilities = [[[1 / 3] * 3] * 4] * num_layers
    axes = drawn(lambda axes: draw_trellis_into(axes, probabilities, [0] * num_layers), trellis_inches(num_layers))
    boxes = text_boxes(axes)
    assert len(boxes) == 2 + num_layers + 4
    assert not overlapping(boxes)
    assert all(inside(box, axes.figure.bbox) for _, box in boxes)


def edges(axes):
    """((layer, level), (layer, level)) of the drawn edges, with their widths; and those that are dashed."""
    widths, dashed = {}, set()
    for line in axes.lines:
        (x0, x1, *more), y = line.get_xdata(), line.get_ydata()
        if more or line.get_color() == PATH_COLOR:
            continue
        widths[(x0, y[0]), (x1, y[1])] = line.get_linewidth()
        if line.is_dashed():
            dashed.add(((x0, y[0]), (x1, y[1])))
    return widths, dashed


def test_trellis_has_an_edge_for_each_beta_and_the_strongest_is_dashed():
    probabilities = np.array(EQUAL)
    probabilities[0, 0] = [0, 0.2, 0.8]
    probabilities[1, 1] = [0.1, 0.1, 0.8]
    axes = drawn(lambda axes: draw_trellis_into(axes, probabilities.tolist(), (1, 2, 2, 1)), trellis_inches(4))
    widths, dashed = edges(axes)
    assert len(widths) == 2 + 5 + 8 + 10
    assert ((0, 0), (1, 1)) in dashed
    assert ((1, 1), (2, 2)) in dashed
    assert ((0, 0), (1, 0)) not in dashed
    assert len(dashed) == 1 + 2 + 3 + 4  # one of each node
    assert widths[(0, 0), (1, 1)] > 2 * widths[(0, 0), (1, 0)]


def test_path_is_drawn_from_the_stem(tmp_path):
    axes = drawn(lambda axes: draw_trellis_into(axes, EQUAL, (0, 1, 2, 1)), trellis_inches(4))
    (path,) = (line for line in axes.lines if line.get_color() == PATH_COLOR)
    assert list(path.get_xdata()) == [0, 1, 2, 3, 4]
    assert list(path.get_ydata()) == [0, 0, 1, 2, 1]
    draw_trellis(EQUAL, (0, 1, 2, 1), tmp_path / "path.png")
    assert count_pixels(tmp_path / "path.png", PATH_COLOR) > 4 * 200  # the nodes on it
