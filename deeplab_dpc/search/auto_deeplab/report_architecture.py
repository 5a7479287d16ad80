"""The sections of the report on alphas and betas: the cell, the path, and the changes of both."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from deeplab_dpc.arch.genotype import OPERATORS, STRIDES, Genotype
from deeplab_dpc.arch.genotype_space import CHOOSABLE, cell_edges, edge_name
from deeplab_dpc.arch.trellis import STEM_LEVEL, STEPS, outgoing
from deeplab_dpc.search import words
from deeplab_dpc.search.auto_deeplab.decoding import (
    NOT_ZERO,
    edge_probabilities,
    num_skips,
    operator_probabilities,
    uncertainty,
)
from deeplab_dpc.search.reporting import style
from deeplab_dpc.search.reporting.report_page import ReportSection, Table

ROW_INCHES = 0.26  # height of a row of the heat map
UNCERTAIN = 0.4  # the colours range at least up to this probability, so that 1 / 8 looks small
UNDECIDED = 0.99  # share of the largest entropy


def cell_section(genotype: Genotype, drawing: bytes) -> ReportSection:
    """Returns the section with the drawing of the cell."""
    text = (
        "H(l-1) and H(l-2) are the outputs of the last two layers. A line in colour is a state that operators read, at "
        "its dots; lines that cross without a dot are not connected. Sep is the separable convolution, atr the atrous "
        "one with rate 2; avg and max are poolings."
    )
    rows = [(f"block {index}", str(block.left), str(block.right)) for index, block in enumerate(genotype.blocks)]
    table = ("Each block is the sum of two operators", ("", "left", "right"), rows)
    return ReportSection("Cell", text, [("The cell of the genotype", drawing)], [table])


def alphas_section(alphas: np.ndarray, genotype: Genotype) -> ReportSection:
    """Returns the section with the probabilities of the operators."""
    probabilities = operator_probabilities(alphas)
    text = (
        "The softmax of the alphas. By them a block keeps the two edges whose most probable operator, zero left out, "
        "is the most probable. What the genotype has is framed."
    )
    picture = ("Probability of each operator on each edge", style.png(heat_map(probabilities, genotype)))
    return ReportSection("Alphas", text, [picture], [_edge_table(probabilities, genotype)])


def heat_map(probabilities: np.ndarray, genotype: Genotype) -> Figure:
    """Draws the probabilities as edges x operators; the operators of the genotype have a frame."""
    from matplotlib.patches import Rectangle

    edges = cell_edges(len(genotype.blocks))
    figure = Figure(figsize=(style.SIZE[0], 1.3 + ROW_INCHES * len(edges)), layout="constrained")
    axes = figure.subplots()
    largest = max(float(probabilities.max()), UNCERTAIN)
    axes.imshow(probabilities, cmap="Blues", vmin=0, vmax=largest, aspect="auto")
    for (row, column), value in np.ndenumerate(probabilities):
        shade = "white" if value > 0.6 * largest else "black"
        axes.text(
            column,
            row,
            f"{value:.2f}"[1:] if value < 0.995 else "1",
            ha="center",
            va="center",
            fontsize=7.5,
            color=shade,
        )
    for row, column in _drawn(genotype).items():
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=style.VERMILION, linewidth=1.8))
    axes.set_yticks(range(len(edges)), [edge_name(*edge) for edge in edges], fontsize=8)
    names = [operator.name.replace("_", " ") for operator in OPERATORS]
    axes.set_xticks(range(len(OPERATORS)), names, rotation=40, ha="left", rotation_mode="anchor", fontsize=8)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    first = np.flatnonzero([state == 0 for _, state in edges])[1:]
    axes.hlines(first - 0.5, -0.5, len(OPERATORS) - 0.5, color="black", linewidth=0.8)
    return figure


def path_section(betas: np.ndarray, genotype: Genotype, drawing: bytes) -> ReportSection:
    """Returns the section with the path through the trellis, and the probabilities by which it was chosen."""
    known = uncertainty(np.zeros((2, len(OPERATORS))), betas)
    text = [
        "A line is the wider the more probable its edge is among those that leave the node; the most probable one is "
        "broken. The path in colour has the largest product of probabilities, "
        f"{known.path_probability:.3g}; the second best has {known.runner_up_probability:.3g}."
    ]
    if known.beta_entropy_share > UNDECIDED:
        text.append(
            "The betas are still close to undecided. Then the path means little: as a node at the border has two edges "
            "and others three, equal betas favour staying at stride 4."
        )
    table = _path_table(edge_probabilities(betas), genotype)
    return ReportSection("Path", "\n\n".join(text), [("The path of the genotype", drawing)], [table])


def changes_section(history: Sequence[Mapping[str, Any]]) -> ReportSection | None:
    """Returns the section with the epochs in which the genotype of the largest alphas and betas changed; None before
    the first epoch ends.
    """
    if not history:
        return None
    rows: list[list[str]] = []
    before: Genotype | None = None
    since = 0
    for row in history:
        genotype = Genotype.from_json(row["genotype"])
        if genotype != before:
            skips = str(num_skips(genotype.blocks))
            rows.insert(0, [str(row["epoch"]), words.score(row["miou"]), skips, _difference(before, genotype)])
            before, since = genotype, row["epoch"]
    text = (
        "The genotype of the largest alphas and betas, for each epoch that changed it, the last one first. "
        f"It is the same since epoch {since}, of {history[-1]['epoch']} that are done."
    )
    columns = ("epoch", "mIOU of the supernet", "skips", "what changed")
    return ReportSection("Changes", text, tables=[("Changes of the genotype", columns, rows)])


def _difference(before: Genotype | None, now: Genotype) -> str:
    """Returns the blocks and the path that are new as text."""
    parts = [
        f"block {index}: {block.left} + {block.right}"
        for index, block in enumerate(now.blocks)
        if before is None or before.blocks[index] != block
    ]
    if before is None or before.path != now.path:
        parts.append(f"strides {' '.join(str(STRIDES[level]) for level in now.path)}")
    return "; ".join(parts)


def _drawn(genotype: Genotype) -> dict[int, int]:
    """Returns the column of each operator of the genotype, by the row of its edge in the alphas."""
    rows = {edge: row for row, edge in enumerate(cell_edges(len(genotype.blocks)))}
    return {
        rows[index, edge.state]: OPERATORS.index(edge.operator)
        for index, block in enumerate(genotype.blocks)
        for edge in block.edges
    }


def _edge_table(probabilities: np.ndarray, genotype: Genotype) -> Table:
    """Returns the table of the two most probable operators of each edge, zero left out."""
    drawn = _drawn(genotype)
    rows = []
    for row, edge in enumerate(cell_edges(len(genotype.blocks))):
        choosable = probabilities[row, NOT_ZERO]
        first, second = np.argsort(-choosable, kind="stable")[:2]
        rows.append(
            (
                edge_name(*edge),
                CHOOSABLE[first].name,
                f"{choosable[first]:.4f}",
                CHOOSABLE[second].name,
                f"{choosable[second]:.4f}",
                OPERATORS[drawn[row]].name if row in drawn else words.NONE,
            )
        )
    columns = ("edge", "strongest operator", "probability", "next", "probability", "in the genotype")
    return "The strongest operators of each edge, zero left out", columns, rows


def _path_table(probabilities: np.ndarray, genotype: Genotype) -> Table:
    """Returns the table of the edges that leave the nodes of the path."""
    rows = []
    level = STEM_LEVEL
    for layer, chosen in enumerate(genotype.path):
        entries = [words.NONE] * len(STEPS)
        for index, _ in outgoing(level):
            entries[index] = f"{probabilities[layer, level, index]:.4f}"
        source = f"layer {layer}" if layer else "stem"
        rows.append((source, str(STRIDES[level]), str(STRIDES[chosen]), *entries))
        level = chosen
    columns = ("from", "stride", "to stride", "to the finer", "to the same", "to the coarser")
    return "Probabilities along the path", columns, rows
