"""The curves of the search by gradient over the epochs (mIOU as in arXiv:1901.02985, Fig. 4)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from deeplab_dpc.config.auto_deeplab import AutoDeepLabConfig
from deeplab_dpc.search import words
from deeplab_dpc.search.auto_deeplab.decoding import EDGES_PER_BLOCK, LARGEST_ALPHA_ENTROPY, largest_beta_entropy
from deeplab_dpc.search.reporting import style
from deeplab_dpc.search.reporting.report_page import ReportSection

History = Sequence[Mapping[str, Any]]
Curve = tuple[str, np.ndarray]  # (label, a value for each epoch; nan where there is none)

LEAST_RANGE = 0.1  # smallest range of the y axis, so that small changes look small


def curves_section(history: History, config: AutoDeepLabConfig) -> ReportSection | None:
    """Returns the section of curves; None before the first epoch is done."""
    if not history:
        return None
    text = (
        "The vertical line is where the training of alphas and betas begins. Entropies are shares of the largest that "
        "they can be: 1 where all operators of an edge, or all edges that leave a node, are equally probable, 0 where "
        "one is certain. A share of skips that grows without end is the known way for such a search to fail "
        "(arXiv:1909.06035)."
    )
    pictures = [
        (caption, style.png(curves(history, config, series, label)))
        for caption, series, label in measured(history, config)
    ]
    return ReportSection("Curves", text, pictures)


def measured(history: History, config: AutoDeepLabConfig) -> list[tuple[str, list[Curve], str]]:
    """Returns (caption, curves, name of the y axis) for each picture."""
    edges = EDGES_PER_BLOCK * config.num_blocks
    accuracy = [("mIOU", _column(history, "miou")), ("pixel accuracy", _column(history, "pixel_accuracy"))]
    losses = [
        ("weights, first half", _column(history, "weight_loss")),
        ("alphas and betas, second half", _column(history, "architecture_loss")),
    ]
    entropies = [
        ("operators (alphas)", _column(history, "alpha_entropy") / LARGEST_ALPHA_ENTROPY),
        ("edges of the trellis (betas)", _column(history, "beta_entropy") / largest_beta_entropy(config.num_layers)),
    ]
    skips = [
        ("mean probability", _column(history, "skip_share")),
        ("of the drawn operators", _column(history, "num_skips") / edges),
    ]
    return [
        (f"The supernet on {config.eval_split}", accuracy, "accuracy"),
        ("Loss in training", losses, "loss"),
        ("Entropy", entropies, "share of the largest"),
        ("The skip operator", skips, "share"),
    ]


def epochs_section(history: History) -> ReportSection | None:
    """Returns the section with a table of all values of every epoch; None before the first epoch is done."""
    if not history:
        return None
    columns = (
        "epoch",
        "mIOU",
        "pixel accuracy",
        "loss of weights",
        "loss of alphas and betas",
        "entropy of alphas, nats",
        "entropy of betas, nats",
        "skip probability",
        "skips drawn",
        "time",
    )
    rows = [
        (
            f"{row['epoch']:,}",
            words.score(row["miou"]),
            words.score(row["pixel_accuracy"]),
            words.score(row["weight_loss"]),
            words.score(row["architecture_loss"]),
            words.score(row["alpha_entropy"]),
            words.score(row["beta_entropy"]),
            words.percent(row["skip_share"]),
            str(row["num_skips"]),
            words.duration(row["seconds"]),
        )
        for row in reversed(history)
    ]
    return ReportSection("Epochs", tables=[("Every epoch, the last one first", columns, rows)])


def curves(history: History, config: AutoDeepLabConfig, series: Sequence[Curve], ylabel: str) -> Figure:
    """Draws lines over the epochs that are done."""
    figure, axes = style.new_figure()
    epochs = [row["epoch"] for row in history]
    for index, (label, values) in enumerate(series):
        color, marker = style.series(index)
        line = ("-", *style.LINES)[index // len(style.SERIES) % (len(style.LINES) + 1)]
        axes.plot(epochs, values, color=color, marker=marker, markersize=4, linewidth=1.6, linestyle=line, label=label)
    axes.axvline(config.architecture_start_epoch, color=style.GREY, linewidth=1.2, zorder=0)
    axes.set(xlabel="epochs done", ylabel=ylabel, xlim=(0, config.search_epochs + 0.5))
    low, high = axes.get_ylim()
    if high - low < LEAST_RANGE:
        axes.set_ylim((low + high - LEAST_RANGE) / 2, (low + high + LEAST_RANGE) / 2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.legend_above(figure, axes)
    return figure


def _column(history: History, name: str) -> np.ndarray:
    """Returns a value for each epoch; nan for missing values."""
    return np.array([math.nan if row[name] is None else row[name] for row in history], float)
