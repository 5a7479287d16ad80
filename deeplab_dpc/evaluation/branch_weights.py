"""The contribution of each branch of a trained cell, measured by its projection weights (arXiv:1809.04184, Fig. 5b).

The paper takes the L1 norm of the weights that connect each branch to the cell's output through the 1x1 convolution
(Sec. 4.2), averaged over them. Only these weights are used: the batch norms before and after the projection are not,
though their scales change the contribution of a branch. The value of an untrained projection is given for comparison:
after a short training the differences between branches are small relative to it.
"""

import math
import os
from collections.abc import Sequence

import numpy as np
from keras import ops

from deeplab_dpc.arch.cell import FILTERS, Cell
from deeplab_dpc.arch.drawing import PIPE, cell_inches, draw_cell_into
from deeplab_dpc.arch.picture_file import DPI
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import atomic_path
from deeplab_dpc.layers.dense_prediction_cell import DensePredictionCell
from deeplab_dpc.models.segmenter import Segmenter

CHART_INCHES = 3.2  # width of the bar chart
CHART_GAP_INCHES = 0.95  # between the cell and the chart, for the names of the branches
BAR_INCHES = 0.62  # height of a bar with the space around it
COLUMNS = ("branch", "mean |weight|", "against untrained")  # columns of `branch_rows`


def branch_weights(segmenter: Segmenter) -> list[float]:
    """Returns the mean |weight| of each branch in the projection of the network's cell.

    The projection's kernel is [1, 1, branches * filters, filters]; each branch has `filters` of its input channels.

    Raises:
      UserError: if the network has no dense prediction cell.
    """
    head = segmenter.head
    if not isinstance(head, DensePredictionCell):
        raise UserError(
            "The network has no dense prediction cell, and only its branches have weights to compare; give a network "
            "that was trained with --dense_prediction_cell_json."
        )
    kernel = ops.convert_to_numpy(head.projection.kernel).astype(np.float64)
    by_branch = np.abs(kernel).reshape(len(head.cell.branches), -1)
    means: list[float] = by_branch.mean(axis=1).tolist()
    return means


def untrained_weight(num_branches: int) -> float:
    """Returns the expected mean |weight| of a new projection: half the bound of Glorot's uniform distribution."""
    inputs, outputs = num_branches * FILTERS, FILTERS
    return 0.5 * math.sqrt(6 / (inputs + outputs))


def branch_rows(cell: Cell, weights: Sequence[float]) -> list[tuple[str, ...]]:
    """Returns the rows of a table, one per branch, with COLUMNS."""
    _check(cell, weights)
    untrained = untrained_weight(len(weights))
    return [
        (f"{index}: {branch.operation}", f"{weight:.5f}", f"{100 * (weight / untrained - 1):+.1f} %")
        for index, (branch, weight) in enumerate(zip(cell.branches, weights, strict=True))
    ]


def draw_branch_weights(cell: Cell, weights: Sequence[float], path: str | os.PathLike[str]) -> None:
    """Writes a PNG of the cell and a bar chart of its branches in the colours of their operations, atomically.

    Args:
      cell: the cell.
      weights: mean |weight| of each branch, from `branch_weights`.
      path: path of the file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    _check(cell, weights)
    cell_width, height = cell_inches(cell)
    width = cell_width + CHART_GAP_INCHES + CHART_INCHES
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    draw_cell_into(figure.add_axes((0.0, 0.0, cell_width / width, 1.0)), cell)

    left, share = (cell_width + CHART_GAP_INCHES) / width, min(0.8, len(weights) * BAR_INCHES / height)
    axes = figure.add_axes((left, 0.5 - share / 2, 1 - left, share))
    places = range(len(weights))
    colors = [branch.operation.COLOR for branch in cell.branches]
    axes.barh(places, weights, height=0.62, color=colors, edgecolor="black", zorder=2)
    untrained = untrained_weight(len(weights))
    axes.axvline(untrained, color=PIPE, linestyle="dotted", linewidth=1.4, zorder=1)
    end = max(*weights, untrained)
    for place, weight in zip(places, weights, strict=True):
        axes.text(end * 1.03, place, f"{weight:.4f}", va="center_baseline", fontsize=9)
    axes.set_yticks(places, [f"branch {place}" for place in places], fontsize=9)
    axes.set_ylim(len(weights) - 0.4, -0.6)
    axes.set_xlim(0, 1.2 * end)
    axes.set_title("mean |weight| in the projection", fontsize=10)
    axes.set_xlabel(f"dotted: {untrained:.4f}, untrained", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.tick_params(axis="x", labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png", dpi=DPI, bbox_inches="tight", facecolor="white")


def _check(cell: Cell, weights: Sequence[float]) -> None:
    if len(weights) != len(cell.branches):
        raise ValueError(f"`weights` must be one a branch: {len(cell.branches)}, got {len(weights)}.")
