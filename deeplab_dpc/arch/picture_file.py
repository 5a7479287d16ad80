"""Pictures of cells, genotypes and trellises as PNG files."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from deeplab_dpc.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 150


def write_picture(
    path: str | os.PathLike[str],
    inches: tuple[float, float],
    draw: Callable[["Axes"], None],
    title: str | None = None,
) -> None:
    """Writes a PNG of one drawing, atomically.

    Args:
      path: path of the file.
      inches: (width, height) of the drawing, in inches; the margins of the file are cut off.
      draw: function that draws into axes of that size.
      title: line of text above the drawing; None for none.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    draw(axes)
    if title:
        axes.set_title(title, fontsize=12)
    if title:
        axes.set_title(title, fontsize=12)
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png", dpi=DPI, bbox_inches="tight", facecolor="white")
