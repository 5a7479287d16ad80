"""The report of searches by gradient that differ only in their seeds (arXiv:1901.02985, Fig. 4)."""

import csv
import math
import pathlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from deeplab_dpc.arch.genotype import STRIDES, Genotype
from deeplab_dpc.config.auto_deeplab import AutoDeepLabConfig
from deeplab_dpc.files import read_json
from deeplab_dpc.search import words
from deeplab_dpc.search.auto_deeplab.decoding import num_skips
from deeplab_dpc.search.auto_deeplab.epoch_records import METRICS_FILE
from deeplab_dpc.search.auto_deeplab.gradient_report import DECIDED
from deeplab_dpc.search.auto_deeplab.report_curves import curves
from deeplab_dpc.search.reporting import style
from deeplab_dpc.search.reporting.report_page import ReportSection, write_page

CAVEAT = (
    "The mIOU is that of the supernet with the weights of all genotypes at once; a genotype has to be trained to be "
    "judged. The vertical line is where the training of alphas and betas begins."
)

Rows = Sequence[Mapping[str, Any]]


def seed_directory(workdir: pathlib.Path, seed: int) -> pathlib.Path:
    """Returns the run directory of the search with this seed."""
    return workdir / f"seed_{seed}"


def write_seeds_report(workdir: pathlib.Path, seeds: Sequence[int], config: AutoDeepLabConfig) -> str:
    """Writes report.html with the curves of all searches in one plot, and a table of their results.

    Args:
      workdir: directory with the run directories of the searches.
      seeds: seeds of the finished searches.
      config: configuration of the searches, whatever its seed.

    Returns:
      A sentence on the supernets' mIOU.
    """
    histories = {seed: _history(seed_directory(workdir, seed)) for seed in seeds}
    last = [history[-1]["miou"] for history in histories.values()]
    spread = f", standard deviation {statistics.stdev(last):.4f}" if len(last) > 1 else ""
    sentence = (
        f"The supernet's mIOU on {config.eval_split} after {words.count(len(last), 'search', 'searches')}: mean "
        f"{words.score(statistics.fmean(last))}, {words.score(min(last))} to {words.score(max(last))}{spread}."
    )
    longest = max(histories.values(), key=len)

    def picture(name: str, label: str) -> tuple[str, bytes]:
        lines = [(f"seed {seed}", _padded(history, name, len(longest))) for seed, history in histories.items()]
        return f"The {label} of the supernet on {config.eval_split}", style.png(curves(longest, config, lines, label))

    pictures = [picture("miou", "mIOU"), picture("pixel_accuracy", "pixel accuracy")]
    columns = ("seed", "epochs", "mIOU", "pixel accuracy", "skips", "path", "genotype")
    rows = [_row(workdir, seed, history) for seed, history in histories.items()]
    section = ReportSection("Seeds", f"{sentence}\n\n{CAVEAT}", pictures, [("The searches", columns, rows)])
    write_page(workdir, [section], "Searches of a cell and a path by gradient")
    return sentence


def _history(run: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the rows of a search's metrics.csv with the columns of this report as numbers."""
    kinds: dict[str, Callable[[str], float]] = {"epoch": int, "miou": float, "pixel_accuracy": float}
    with open(run / METRICS_FILE, encoding="utf-8", newline="") as stream:
        return [{name: kind(row[name]) for name, kind in kinds.items()} for row in csv.DictReader(stream)]


def _padded(history: Rows, name: str, length: int) -> np.ndarray:
    """Returns a value for each epoch of the longest search; nan after the end of a shorter one."""
    values = [row[name] for row in history]
    return np.array([*values, *[math.nan] * (length - len(values))], float)


def _row(workdir: pathlib.Path, seed: int, history: Rows) -> tuple[str, ...]:
    file = seed_directory(workdir, seed) / DECIDED
    genotype, last = Genotype.from_json(read_json(file, "genotype")), history[-1]
    return (
        str(seed),
        str(last["epoch"]),
        words.score(last["miou"]),
        words.score(last["pixel_accuracy"]),
        str(num_skips(genotype.blocks)),
        " ".join(str(STRIDES[level]) for level in genotype.path),
        str(file),
    )
