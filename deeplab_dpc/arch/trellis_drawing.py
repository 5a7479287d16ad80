"""The trellis of resolutions with a path through it, as a picture (arXiv:1901.02985, Fig. 1 and 3).

Columns are layers, rows strides with the finest at the top. More probable edges are wider and darker. The most probable
edge that leaves each node is dashed, and the path is in colour.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deeplab_dpc.arch.genotype import STRIDES
from deeplab_dpc.arch.picture_file import write_picture
from deeplab_dpc.arch.trellis import NUM_LEVELS, STEM_LEVEL, EdgeValues, outgoing, reachable_levels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMN_INCHES = 0.52
ROW_INCHES = 0.52
LABEL_INCHES = (0.85, 0.2)  # left of the nodes and above them
RADIUS = 0.075  # of a node, in inches
STEM_COLOR = "#c4c4c4"
NODE_COLOR = "#ffffff"
PATH_COLOR = "#0072b2"  # Okabe and Ito, 2008
EDGE_COLOR = "#4a4a4a"


def draw_trellis(probabilities: EdgeValues, levels: Sequence[int], path: str | os.PathLike[str]) -> None:
    """Writes a PNG of the trellis with the path along `levels`, atomically."""
    write_picture(path, trellis_inches(len(levels)), lambda axes: draw_trellis_into(axes, probabilities, levels))


def trellis_inches(num_layers: int) -> tuple[float, float]:
    """Returns the (width, height), in inches, of axes in which a trellis is drawn to scale."""
    return LABEL_INCHES[0] + COLUMN_INCHES * (num_layers + 0.7), LABEL_INCHES[1] + ROW_INCHES * (NUM_LEVELS - 0.3)


def draw_trellis_into(axes: "Axes", probabilities: EdgeValues, levels: Sequence[int]) -> None:
    """Draws the trellis into axes of `trellis_inches`, without ticks and frame.

    Args:
      probabilities: probabilities of the edges, [L][4][3] as in arch.trellis.
      levels: levels of the path, for each layer.
    """
    num_layers = len(levels)
    axes.set_xlim(-0.35 - LABEL_INCHES[0] / COLUMN_INCHES, num_layers + 0.35)
    axes.set_ylim(NUM_LEVELS - 0.65, -0.35 - LABEL_INCHES[1] / ROW_INCHES)
    axes.axis("off")
    for layer in range(num_layers):
        for level in reachable_levels(layer):
            _draw_edges(axes, layer, level, probabilities[layer][level])
    axes.plot(range(num_layers + 1), [STEM_LEVEL, *levels], color=PATH_COLOR, linewidth=5, alpha=0.45, zorder=2)
    for layer in range(num_layers + 1):
        for level in reachable_levels(layer):
            _draw_node(axes, layer, level, layer > 0 and levels[layer - 1] == level)
    text: dict[str, Any] = {"va": "center", "fontsize": 9}
    axes.text(0, -0.5, "stem", ha="center", **text)
    for layer in range(1, num_layers + 1):
        axes.text(layer, -0.5, str(layer), ha="center", **text)
    axes.text(-0.55, -0.5, "layer", ha="right", **text)
    for level, stride in enumerate(STRIDES):
        axes.text(-0.55, level, f"stride {stride}", ha="right", **text)


def _draw_edges(axes: "Axes", layer: int, level: int, probabilities: Sequence[float]) -> None:
    """Draws the edges that leave a node."""
    edges = [(target, probabilities[index]) for index, target in outgoing(level)]
    strongest = max(edges, key=lambda edge: edge[1])[0]
    for target, probability in edges:
        axes.plot(
            [layer, layer + 1],
            [level, target],
            color=EDGE_COLOR,
            alpha=0.15 + 0.85 * probability,
            linewidth=0.4 + 2.2 * probability,
            linestyle=(0, (3, 1.2)) if target == strongest else "-",
            zorder=3,
        )


def _draw_node(axes: "Axes", layer: int, level: int, on_path: bool) -> None:
    from matplotlib.patches import Ellipse

    color = STEM_COLOR if layer == 0 else PATH_COLOR if on_path else NODE_COLOR
    size = (2 * RADIUS / COLUMN_INCHES, 2 * RADIUS / ROW_INCHES)
    axes.add_patch(Ellipse((layer, level), *size, facecolor=color, edgecolor=EDGE_COLOR, linewidth=0.8, zorder=4))
