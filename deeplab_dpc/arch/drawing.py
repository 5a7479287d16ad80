"""A dense prediction cell as a picture (in the manner of arXiv:1809.04184, Fig. 5).

The backbone is a bar at the top, the concatenation a bar at the bottom. Each branch has a column of its own and stands
one row below its input. Columns follow the tree of branches from the root down, so that no line crosses a box.
"""

import os
from typing import TYPE_CHECKING

from deeplab_dpc.arch.cell import BACKBONE, Cell
from deeplab_dpc.arch.operations import Conv1x1
from deeplab_dpc.arch.picture_file import write_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BOX = (0.82, 0.56)  # (width, height) of a branch, in units of (column, row)
BAR_HEIGHT = 0.4
MARGIN = 0.1
COLUMN_INCHES = 1.7
ROW_INCHES = 1.2
# Of a branch with readers: distance from its centre to its lines, to the concatenation (left) and to them (right).
FORK = 0.2
PIPE = "#555555"
BAR_COLOR = "#e4e4e4"


def draw_cell(cell: Cell, path: str | os.PathLike[str], title: str | None = None) -> None:
    """Writes a PNG of `cell`, atomically, with a line of text above it if there is a title."""
    write_picture(path, cell_inches(cell), lambda axes: draw_cell_into(axes, cell), title)


def cell_inches(cell: Cell) -> tuple[float, float]:
    """Returns the (width, height), in inches, of axes in which the labels of a drawn cell fit their boxes."""
    columns, rows = _layout(cell)
    return len(columns) * COLUMN_INCHES, (max(rows) + 3) * ROW_INCHES


def draw_cell_into(axes: "Axes", cell: Cell) -> None:
    """Draws `cell` into axes of at least `cell_inches`, without ticks and frame."""
    columns, rows = _layout(cell)
    concat_row = max(rows) + 1
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(concat_row + 1 + BAR_HEIGHT / 2 + MARGIN, -BAR_HEIGHT / 2 - MARGIN)
    axes.axis("off")

    middle = (len(columns) - 1) / 2
    bar_width = len(columns) - 1 + BOX[0]
    _box(axes, middle, 0, bar_width, BAR_HEIGHT, "backbone features", BAR_COLOR)
    _box(axes, middle, concat_row, bar_width, BAR_HEIGHT, "concatenation", BAR_COLOR)
    _box(axes, middle, concat_row + 1, BOX[0], BAR_HEIGHT, "1x1 projection", Conv1x1.COLOR)
    _pipe(axes, [(middle, concat_row + BAR_HEIGHT / 2), (middle, concat_row + 1 - BAR_HEIGHT / 2)])
    for index, branch in enumerate(cell.branches):
        x, y = columns[index], rows[index]
        label = f"branch {index}\n" + str(branch.operation).replace(", ", "\n")
        _box(axes, x, y, *BOX, label, branch.operation.COLOR)
        exit_x = x - FORK if any(other.input == index for other in cell.branches) else x
        _pipe(axes, [(exit_x, y + BOX[1] / 2), (exit_x, concat_row - BAR_HEIGHT / 2)], style="dashed")
        top = y - BOX[1] / 2
        if branch.input == BACKBONE:
            _pipe(axes, [(x, BAR_HEIGHT / 2), (x, top)])
        else:
            start, bend = columns[branch.input] + FORK, y - 0.5
            _pipe(axes, [(start, y - 1 + BOX[1] / 2), (start, bend), (x, bend), (x, top)])


def _layout(cell: Cell) -> tuple[list[int], list[int]]:
    """Returns the column and the row of each branch: right of its input's column and one row below it."""
    readers: dict[int, list[int]] = {}
    rows: list[int] = []
    for index, branch in enumerate(cell.branches):
        readers.setdefault(branch.input, []).append(index)
        rows.append(1 if branch.input == BACKBONE else rows[branch.input] + 1)
    columns = [0] * len(cell.branches)
    pending = readers[BACKBONE][::-1]
    for column in range(len(columns)):
        index = pending.pop()
        columns[index] = column
        pending += readers.get(index, [])[::-1]
    return columns, rows


def _box(axes: "Axes", x: float, y: float, width: float, height: float, label: str, color: str) -> None:
    from matplotlib.patches import Rectangle

    corner = (x - width / 2, y - height / 2)
    axes.add_patch(Rectangle(corner, width, height, facecolor=color, edgecolor="black", zorder=2))
    axes.text(x, y, label, ha="center", va="center", fontsize=9, linespacing=1.3, zorder=3)


def _pipe(axes: "Axes", points: list[tuple[float, float]], style: str = "solid") -> None:
    """Draws a line through `points` with an arrow head at the end."""
    axes.plot(*zip(*points[:-1], strict=True), color=PIPE, linewidth=1.2, zorder=1)
    arrow = {"arrowstyle": "-|>", "color": PIPE, "linewidth": 1.2, "linestyle": style, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=points[-1], xytext=points[-2], arrowprops=arrow, zorder=1)
