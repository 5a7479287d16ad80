"""The style of the report's pictures: sizes, and colours for colour-blind readers (Okabe and Ito, 2008)."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deeplab_dpc.search.scored import Scored

SIZE = (5.4, 3.7)  # inches: text of 10 points can be read at the width of a phone
DPI = 160
BLACK = "#000000"
GREY = "#9a9a9a"
BLUE = "#0072b2"
VERMILION = "#d55e00"
GREEN = "#009e73"
SKY = "#56b4e9"
ORANGE = "#e69f00"
PURPLE = "#cc79a7"
SERIES = ((BLUE, "o"), (VERMILION, "^"), (GREEN, "s"), (PURPLE, "D"), (ORANGE, "v"), (SKY, "P"))
CROWD = 500  # points; more are drawn fainter
LINES = ("--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))


def new_figure(height: float = SIZE[1]) -> tuple[Figure, Axes]:
    """Returns a figure with one pair of axes, without the lines at the top and at the right."""
    figure = Figure(figsize=(SIZE[0], height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def png(figure: Figure) -> bytes:
    """Returns the figure as a PNG file, the same bytes for the same figure."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return stream.getvalue()


def series(index: int) -> tuple[str, str]:
    """Returns the (colour, marker) of the series with this number."""
    return SERIES[index % len(SERIES)]


def point_size(count: int) -> float:
    """Returns the area in square points of a mark, which depends on the number of marks."""
    return 28 if count < 100 else 12 if count < 2000 else 4


def points(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    size: float,
    color: str,
    marker: str = "o",
    label: str | None = None,
) -> None:
    """Draws marks whose overlaps are visible; none where x or y is nan."""
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    axes.scatter(x, y, s=size, c=color, marker=marker, alpha=0.6 if len(x) < CROWD else 0.3, linewidths=0, label=label)


def mark_warm_starts(axes: Axes, warm_starts: Sequence[Scored], vertical: bool = False) -> None:
    """Draws a broken line at the score of each warm start."""
    for index, scored in enumerate(warm_starts):
        line = axes.axvline if vertical else axes.axhline
        color, style = SERIES[(index + 2) % len(SERIES)][0], LINES[index % len(LINES)]
        line(scored.score.miou, color=color, linestyle=style, linewidth=1.6, label=scored.name)


def legend_above(figure: Figure, axes: Axes, columns: int = 3) -> None:
    """Draws the legend above the axes, where it hides no point; none without labels."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper center", ncols=columns, fontsize=9, frameon=False)
