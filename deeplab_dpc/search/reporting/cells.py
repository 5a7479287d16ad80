"""The section with drawings of the best and the worst cells (in the manner of arXiv:1809.04184, Fig. 6)."""

import pathlib

from deeplab_dpc.search import words
from deeplab_dpc.search.contest.best_cells import BEST, WORST, kept_cells
from deeplab_dpc.search.reporting.population import Population
from deeplab_dpc.search.reporting.report_page import ReportSection
from deeplab_dpc.search.scored import Scored


def cells(folder: pathlib.Path, population: Population) -> ReportSection | None:
    """Returns the section with the pictures of `best_cells.write_cells` from that folder; None if nothing is scored."""
    kept = kept_cells(population.result)
    if not kept:
        return None
    pictures = [
        (
            f"{_title(stem, len(population))}, {_scores(population, scored)}. {scored.cell.summary()}",
            (folder / f"{stem}.png").read_bytes(),
        )
        for stem, scored in kept.items()
    ]
    text = (
        "The winner, the best candidates by proxy and the worst. Solid lines are what a branch reads, broken ones lead "
        "to the concatenation; rates and grids are height x width. In words, B>3x3@1x6 reads the backbone and 0>1x1 "
        "branch 0."
    )
    return ReportSection("Cells", text, pictures)


def _title(stem: str, candidates: int) -> str:
    if stem == BEST:
        return "The winner"
    return f"The worst, number {candidates:,}" if stem == WORST else f"Number {int(stem.rpartition('_')[2])}"


def _scores(population: Population, scored: Scored) -> str:
    """Returns the scores of a cell as text."""
    text = f"{scored.name}: proxy mIOU {words.score(scored.score.miou)}"
    if scored.score.steps != population.budget:
        text += f" after {scored.score.steps:,} steps"
    miou = population.result.real_miou(scored.cell)
    return text if miou is None else f"{text}, re-ranked {words.score(miou)}"
