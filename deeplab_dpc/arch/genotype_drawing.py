"""The cell of a genotype as a picture.

Each state has a rail: a line in its own colour from the state to its last reader. Each operator is connected by a dot
to the rail of its input; lines that cross without a dot are not connected. Blocks stand in a row, each with two
operators and their sum; dashed lines lead to the concatenation. As in the paper's Fig. 3, sep is the separable
convolution and atr the atrous one; avg and max are poolings.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deeplab_dpc.arch.genotype import (
    NUM_INPUTS,
    Atrous,
    AveragePooling,
    Block,
    Genotype,
    MaxPooling,
    Operator,
    Separable,
    Skip,
    state_name,
)
from deeplab_dpc.arch.picture_file import write_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLOCK_INCHES = 1.4  # width of a block with the gap to the next
LABEL_INCHES = 0.6  # left of the rails
RAIL_INCHES = 0.32
BOX_INCHES = (0.54, 0.46)  # (width, height) of an operator
BAR_INCHES = 0.36
RADIUS = 0.14  # of a sum, in inches
OPERATOR_Y, SUM_Y, FORK_Y, BAR_Y, END_Y = 0.42, 1.0, 1.3, 1.78, 2.02  # in inches below the rails
PIPE = "#555555"
BAR_COLOR = "#e4e4e4"
COLORS: dict[type[Operator], str] = {
    Separable: "#b5d3f0",
    Atrous: "#f8d9a0",
    AveragePooling: "#c3e5bd",
    MaxPooling: "#c3e5bd",
    Skip: "#ffffff",
}
SHORT: dict[type[Operator], str] = {
    Separable: "sep",
    Atrous: "atr",
    AveragePooling: "avg",
    MaxPooling: "max",
    Skip: "skip",
}
# Okabe and Ito, 2008, without yellow; a cell with more rails repeats the colours.
RAIL_COLORS = ("#000000", "#8a8a8a", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def draw_genotype(genotype: Genotype, path: str | os.PathLike[str]) -> None:
    """Writes a PNG of the cell of `genotype`, atomically."""
    write_picture(path, cell_inches(genotype.blocks), lambda axes: draw_cell_into(axes, genotype.blocks))


def cell_inches(blocks: Sequence[Block]) -> tuple[float, float]:
    """Returns the (width, height), in inches, of axes in which a cell is drawn to scale."""
    return LABEL_INCHES + BLOCK_INCHES * len(blocks), RAIL_INCHES * len(_readers(blocks)) + END_Y


def draw_cell_into(axes: "Axes", blocks: Sequence[Block]) -> None:
    """Draws a cell into axes of `cell_inches`, in inches, without ticks and frame."""
    width, height = cell_inches(blocks)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    top = height - END_Y
    bar_width = width - LABEL_INCHES - 0.2
    _box(axes, LABEL_INCHES + 0.1 + bar_width / 2, top + BAR_Y, (bar_width, BAR_INCHES), "concatenation", BAR_COLOR)
    rails = {state: RAIL_INCHES * (index + 0.5) for index, state in enumerate(_readers(blocks))}
    colors = {state: RAIL_COLORS[index % len(RAIL_COLORS)] for index, state in enumerate(rails)}
    for state, y in rails.items():
        _draw_rail(axes, blocks, state, y, top + FORK_Y, colors[state])
    for index, block in enumerate(blocks):
        middle = _middle(index)
        for tap, edge in zip(_taps(index), block.edges, strict=True):
            axes.plot([tap], [rails[edge.state]], "o", color=colors[edge.state], markersize=5, zorder=3)
            _arrow(axes, [(tap, rails[edge.state]), (tap, top + OPERATOR_Y - BOX_INCHES[1] / 2)], colors[edge.state])
            _box(axes, tap, top + OPERATOR_Y, BOX_INCHES, _label(edge.operator), COLORS[type(edge.operator)])
            end = middle + (RADIUS if tap > middle else -RADIUS)
            bottom = top + OPERATOR_Y + BOX_INCHES[1] / 2
            _arrow(axes, [(tap, bottom), (tap, top + SUM_Y), (end, top + SUM_Y)], PIPE)
        _draw_sum(axes, middle, top + SUM_Y)
        axes.text(middle - 0.1, top + FORK_Y, f"block {index}", ha="right", va="center", fontsize=9)
        _arrow(axes, [(middle, top + SUM_Y + RADIUS), (middle, top + BAR_Y - BAR_INCHES / 2)], PIPE, style="dashed")


def _readers(blocks: Sequence[Block]) -> dict[int, list[int]]:
    """Returns the states that are read, the cell's inputs first, each with the blocks that read it."""
    readers: dict[int, list[int]] = {}
    for index, block in enumerate(blocks):
        for edge in block.edges:
            readers.setdefault(edge.state, []).append(index)
    return dict(sorted(readers.items()))


def _middle(index: int) -> float:
    return LABEL_INCHES + BLOCK_INCHES * (index + 0.5)


def _taps(index: int) -> tuple[float, float]:
    """Returns the columns of a block's left and right operator."""
    apart = BOX_INCHES[0] / 2 + 0.04
    return _middle(index) - apart, _middle(index) + apart


def _draw_rail(axes: "Axes", blocks: Sequence[Block], state: int, y: float, fork_y: float, color: str) -> None:
    """Draws the line from the state's name, or from the output of its block, to its last reader."""
    last = _readers(blocks)[state][-1]
    sides = [tap for tap, edge in zip(_taps(last), blocks[last].edges, strict=True) if edge.state == state]
    end = (sides[-1], y)
    if state < NUM_INPUTS:
        axes.text(LABEL_INCHES - 0.08, y, state_name(state), ha="right", va="center", fontsize=10)
        points = [(LABEL_INCHES, y), end]
    else:
        block = state - NUM_INPUTS
        gap = _middle(block) + BLOCK_INCHES / 2
        points = [(_middle(block), fork_y), (gap, fork_y), (gap, y), end]
        axes.plot([_middle(block)], [fork_y], "o", color=color, markersize=5, zorder=3)
    axes.plot(*zip(*points, strict=True), color=color, linewidth=1.6, zorder=1, solid_joinstyle="round")


def _label(operator: Operator) -> str:
    """Returns the operator's name as the paper abbreviates it, on two lines."""
    return SHORT[type(operator)] + ("" if isinstance(operator, Skip) else f"\n{operator.name[-3:]}")


def _box(axes: "Axes", x: float, y: float, size: tuple[float, float], label: str, color: str) -> None:
    from matplotlib.patches import Rectangle

    corner = (x - size[0] / 2, y - size[1] / 2)
    axes.add_patch(Rectangle(corner, *size, facecolor=color, edgecolor="black", zorder=4))
    axes.text(x, y, label, ha="center", va="center", fontsize=9, linespacing=1.2, zorder=5)


def _draw_sum(axes: "Axes", x: float, y: float) -> None:
    from matplotlib.patches import Circle

    axes.add_patch(Circle((x, y), RADIUS, facecolor="white", edgecolor="black", zorder=4))
    arm = 0.6 * RADIUS
    axes.plot([x - arm, x + arm], [y, y], color="black", linewidth=1.4, zorder=5)
    axes.plot([x, x], [y - arm, y + arm], color="black", linewidth=1.4, zorder=5)


def _arrow(axes: "Axes", points: list[tuple[float, float]], color: str, style: str = "solid") -> None:
    """Draws a line through `points` with an arrow head at the end."""
    axes.plot(*zip(*points[:-1], strict=True), color=color, linewidth=1.2, zorder=1)
    arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 1.2, "linestyle": style, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=points[-1], xytext=points[-2], arrowprops=arrow, zorder=2)
