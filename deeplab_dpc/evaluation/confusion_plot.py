"""A plot of the confusion matrix: for each class, the shares of the classes that are predicted on its pixels."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from deeplab_dpc.console import printable
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_CLASSES_WITH_NUMBERS = 40
CELL_INCHES = (0.42, 0.11)  # side of a cell with a number, and without one
MIN_SIDE_INCHES = 2.8
FONT_SIZES = (8.0, 5.5)  # with numbers, and without, in points
MAX_CLASSES_WITH_DECIMALS = 12
SHOWN_FROM = 0.5  # percent; smaller shares off the diagonal have a colour, but no number
COLOR_EXPONENT = 0.5  # of the share in the colour scale, so that confusions of a few percent are visible
WHITE_INK_FROM = 30.0  # percent; text on the darker cells is white
EMPTY_COLOR = "#dddddd"  # colour of rows without a labelled pixel
ABSENT_INK = "#999999"


def draw_confusion(matrix: np.ndarray, class_names: Sequence[str], path: str | os.PathLike[str]) -> None:
    """Writes a PNG of the matrix, atomically; each row is in percent of the pixels with that label.

    A class without a labelled pixel has a grey row; if it is not predicted either, it is marked as absent.

    Args:
      matrix: number of pixels [num_classes, num_classes]; rows are labels, columns predictions.
      class_names: name of each class.
      path: path of the file.

    Raises:
      UserError: if the number of names differs from the number of classes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    number = len(class_names)
    if matrix.shape != (number, number):
        raise UserError(f"`class_names` must be one a class of the matrix {list(matrix.shape)}, got {number}.")
    numbered = number <= MAX_CLASSES_WITH_NUMBERS
    cell, font_size = (values[0 if numbered else 1] for values in (CELL_INCHES, FONT_SIZES))
    percent = _percent_of_rows(matrix)

    side = max(number * cell, MIN_SIDE_INCHES)
    figure = Figure(figsize=(side, side))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_facecolor(EMPTY_COLOR)
    image = axes.imshow(percent, cmap="Blues", norm=PowerNorm(COLOR_EXPONENT, 0, 100))
    if numbered:
        _write_numbers(axes, percent, font_size)
    _name_classes(axes, matrix, class_names, font_size)
    _draw_grid(axes, number)
    axes.set_xlabel("prediction", fontsize=font_size + 3)
    axes.set_ylabel("label", fontsize=font_size + 3)
    bar_axes = figure.add_axes((1 + 0.25 / side, 0.0, 0.16 / side, 1.0))
    bar = figure.colorbar(image, cax=bar_axes, ticks=[0, 1, 5, 10, 25, 50, 75, 100])
    bar.ax.tick_params(labelsize=font_size + 1)
    bar.set_label("% of the pixels with the label", fontsize=font_size + 2)
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png", dpi=150, bbox_inches="tight", pad_inches=0.15, facecolor="white")


def _percent_of_rows(matrix: np.ndarray) -> np.ma.MaskedArray:
    """Returns each row in percent of its sum; rows whose sum is 0 are masked."""
    total = matrix.sum(axis=1, keepdims=True)
    percent = 100 * matrix / np.maximum(total, 1)
    return np.ma.masked_where(np.broadcast_to(total == 0, matrix.shape), percent)


def _write_numbers(axes: "Axes", percent: np.ma.MaskedArray, font_size: float) -> None:
    decimals = 1 if len(percent) <= MAX_CLASSES_WITH_DECIMALS else 0
    shown = ~percent.mask & ((percent.data >= SHOWN_FROM) | np.eye(len(percent), dtype=bool))
    for row, column in zip(*np.nonzero(shown), strict=True):
        value = percent[row, column]
        text = f"{value:.{decimals}f}" if value < 100 else "100"
        color = "white" if value >= WHITE_INK_FROM else "black"
        axes.text(column, row, text, ha="center", va="center_baseline", fontsize=font_size, color=color)


def _name_classes(axes: "Axes", matrix: np.ndarray, class_names: Sequence[str], font_size: float) -> None:
    labelled, predicted = ((matrix.sum(axis=axis) > 0).tolist() for axis in (1, 0))
    class_names = [printable(name) for name in class_names]
    places = range(len(class_names))
    rows = [name + _remark(i, j, "no label") for name, i, j in zip(class_names, labelled, predicted, strict=True)]
    columns = [name + _remark(j, i, "never") for name, i, j in zip(class_names, labelled, predicted, strict=True)]
    axes.set_yticks(places, rows, fontsize=font_size)
    axes.set_xticks(places, columns, fontsize=font_size, rotation=90)
    axes.tick_params(length=2)
    for ticks, occurs in ((axes.get_yticklabels(), labelled), (axes.get_xticklabels(), predicted)):
        for tick, present in zip(ticks, occurs, strict=True):
            tick.set_color("black" if present else ABSENT_INK)
            tick.set_parse_math(False)  # a $ in a name is not the start of a formula


def _remark(occurs: bool, occurs_elsewhere: bool, otherwise: str) -> str:
    return "" if occurs else f" ({otherwise if occurs_elsewhere else 'absent'})"


def _draw_grid(axes: "Axes", number: int) -> None:
    edges = np.arange(number + 1) - 0.5
    axes.set_xticks(edges, minor=True)
    axes.set_yticks(edges, minor=True)
    axes.grid(which="minor", color="white", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
