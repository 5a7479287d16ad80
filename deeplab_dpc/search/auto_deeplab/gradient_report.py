"""The files of a search by gradient after each epoch: the genotype so far, and its report.

genotype_so_far.json   the genotype, for deeplab-dpc train; genotype.json, decided at the end, is not written here
cell.png               the genotype's cell
path.png               its path through the trellis of resolutions, with the probabilities of all edges
report.html            all of it in one file; report/ has its pictures
"""

import pathlib
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deeplab_dpc.arch.genotype import OPERATORS, STRIDES, Genotype
from deeplab_dpc.arch.genotype_drawing import draw_genotype
from deeplab_dpc.arch.genotype_space import cell_edges, count_cells, count_decodable_cells
from deeplab_dpc.arch.trellis import count_paths, count_paths_from_first_layer
from deeplab_dpc.arch.trellis_drawing import draw_trellis
from deeplab_dpc.config.auto_deeplab import AutoDeepLabConfig
from deeplab_dpc.files import write_json
from deeplab_dpc.search import words
from deeplab_dpc.search.auto_deeplab.decoding import decode, edge_probabilities, num_skips
from deeplab_dpc.search.auto_deeplab.report_architecture import (
    alphas_section,
    cell_section,
    changes_section,
    path_section,
)
from deeplab_dpc.search.auto_deeplab.report_curves import curves_section, epochs_section
from deeplab_dpc.search.reporting.report_page import ReportSection, Table, write_page

SO_FAR, DECIDED = "genotype_so_far.json", "genotype.json"
TITLE = "Search of a cell and a path by gradient"


def write_report(
    workdir: pathlib.Path,
    history: Sequence[Mapping[str, Any]],
    alphas: np.ndarray,
    betas: np.ndarray,
    config: AutoDeepLabConfig,
    genotype: Genotype | None = None,
) -> None:
    """Writes the files that the module's docstring lists, each atomically.

    Args:
      workdir: run directory of the search.
      history: a row for each epoch that is done, with `epoch` (1 for the first), `weight_loss`, `architecture_loss`
        (None if alphas and betas were not trained), `miou`, `pixel_accuracy`, `alpha_entropy`, `beta_entropy`,
        `skip_share`, `num_skips`, `seconds`, `stopped` (why the search ends there, or empty) and `genotype` (JSON).
      alphas: current alphas before the softmax, [edges, 8].
      betas: current betas before the softmax, [L, 4, 3].
      config: configuration of the search.
      genotype: genotype that was chosen at the end; None before.
    """
    drawn = genotype or decode(alphas, betas)
    if genotype is None:
        write_json(workdir / SO_FAR, drawn.to_json())
    draw_genotype(drawn, workdir / "cell.png")
    draw_trellis(edge_probabilities(betas).tolist(), drawn.path, workdir / "path.png")
    sections = (
        _summary(workdir / (DECIDED if genotype else SO_FAR), history, config, drawn),
        curves_section(history, config),
        cell_section(drawn, (workdir / "cell.png").read_bytes()),
        alphas_section(alphas, drawn),
        path_section(betas, drawn, (workdir / "path.png").read_bytes()),
        changes_section(history),
        epochs_section(history),
    )
    write_page(workdir, [section for section in sections if section is not None], TITLE)


def _summary(
    file: pathlib.Path, history: Sequence[Mapping[str, Any]], config: AutoDeepLabConfig, genotype: Genotype
) -> ReportSection:
    """Returns the summary section; `file` contains the genotype."""
    text = f"{_progress(history, config)}\n\n{_caveats(history, config, genotype)}"
    command = f"deeplab-dpc train --data_dir=D --workdir=T --genotype_json={shlex.quote(str(file))}"
    rows = [
        ("operators", ", ".join(_operator_counts(genotype))),
        ("strides", " ".join(str(STRIDES[level]) for level in genotype.path)),
        ("file", str(file)),
        ("to train it", command),
    ]
    return ReportSection("Summary", text, tables=[("The genotype", ("", ""), rows), _searched(config)])


def _progress(history: Sequence[Mapping[str, Any]], config: AutoDeepLabConfig) -> str:
    if not history:
        return f"No epoch of {config.search_epochs:,} is done yet: the genotype below is that of the initial values."
    last = history[-1]
    best = max(history, key=lambda row: row["miou"])
    seconds = sum(row["seconds"] for row in history)
    text = (
        f"{last['epoch']:,} of {words.count(config.search_epochs, 'epoch')} done, in {words.duration(seconds)}. The "
        f"supernet's mIOU on {config.eval_split} is {words.score(last['miou'])}"
    )
    if best is not last:
        text += f"; its best was {words.score(best['miou'])} after epoch {best['epoch']:,}"
    return f"{text}. It has stopped early: {last['stopped']}." if last["stopped"] else f"{text}."


def _caveats(history: Sequence[Mapping[str, Any]], config: AutoDeepLabConfig, genotype: Genotype) -> str:
    """Returns the caveats on the genotype."""
    epochs = sum(row["architecture_loss"] is not None for row in history)
    if not epochs:
        return (
            f"Alphas and betas are trained from epoch {config.architecture_start_epoch + 1} on: until then they are "
            "their random initial values, and the genotype means nothing."
        )
    skips = num_skips(genotype.blocks)
    text = (
        f"Alphas and betas were trained for {words.count(epochs, 'epoch')}. "
        f"{skips} of the cell's {2 * len(genotype.blocks)} operators are skips"
    )
    if config.stop_at_skips:
        text += f"; the search stops at {config.stop_at_skips}"
    return (
        f"{text}. This is one search with one seed ({config.seed}); the supernet's mIOU is not that of the genotype, "
        "which must be trained before it can be evaluated, if possible together with a random one of the same size."
    )


def _operator_counts(genotype: Genotype) -> list[str]:
    """Returns the operators of the cell, each with its number of occurrences."""
    counts = Counter(edge.operator.name for block in genotype.blocks for edge in block.edges)
    return [f"{count} {name}" for name, count in counts.most_common()]


def _searched(config: AutoDeepLabConfig) -> Table:
    blocks, layers = config.num_blocks, config.num_layers
    cells = (
        f"{count_cells(blocks):,} as the paper counts; {count_decodable_cells(blocks):,} different ones without zero"
    )
    paths = (
        f"{count_paths(layers):,} with the first layer at stride 4 or 8; "
        f"{count_paths_from_first_layer(layers):,} with it at stride 4, as the paper counts"
    )
    choice = {"alphas": "the largest alphas", "perturbation": "perturbation of the supernet"}[config.operator_choice]
    rows = [
        (
            "cell",
            f"{words.count(blocks, 'block')}, {len(cell_edges(blocks))} edges of {len(OPERATORS)} operators, filter "
            f"multiplier {config.filter_multiplier}",
        ),
        ("cells", cells),
        ("network", f"{layers} layers at strides {', '.join(map(str, STRIDES))}"),
        ("paths", paths),
        ("epochs", f"{config.search_epochs:,}, alphas and betas after {config.architecture_start_epoch:,}"),
        ("batch", f"{config.search_batch_size:,} images of either half of the training split"),
        (
            "weights",
            f"SGD, learning rate {config.weight_learning_rate:g} to {config.weight_end_learning_rate:g} (cosine), "
            f"momentum {config.weight_momentum:g}, decay {config.weight_decay:g}",
        ),
        (
            "alphas and betas",
            f"Adam, learning rate {config.architecture_learning_rate:g}, decay {config.architecture_weight_decay:g}",
        ),
        ("operators chosen by", choice),
        ("seed", str(config.seed)),
    ]
    return "What was searched", ("", "setting"), rows
