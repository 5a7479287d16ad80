"""The best cells and the worst, drawn (in the manner of arXiv:1809.04184, Fig. 6)."""

import pathlib

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.drawing import draw_cell
from deeplab_dpc.files import write_json
from deeplab_dpc.search.reporting import words
from deeplab_dpc.search.reporting.population import Population
from deeplab_dpc.search.reporting.section import Picture, ReportSection
from deeplab_dpc.search.scored import Scored

KEPT_CELLS = 10  # the best cells by proxy that are written as files, beside the winner and the worst


def write_cells(folder: pathlib.Path, population: Population) -> ReportSection | None:
    """Writes as JSON and PNG the best cells by proxy (rank_*), the worst, and the winner (best).

    Returns:
      The section that shows them; None without candidates.
    """
    result = population.result
    winner = result.winner()
    if winner is None:
        return None
    pictures = [_write(folder / "best", winner.cell, f"The winner, {_scores(population, winner)}")]
    for rank, scored in enumerate(result.best(KEPT_CELLS), start=1):
        pictures.append(
            _write(folder / f"rank_{rank:02d}", scored.cell, f"Number {rank}, {_scores(population, scored)}")
        )
    if len(population) > KEPT_CELLS:
        worst = population.candidates[population.order[-1]]
        title = f"The worst, number {len(population):,}, {_scores(population, worst)}"
        pictures.append(_write(folder / "worst", worst.cell, title))
    text = (
        "The winner, the best by proxy and the worst. Solid lines are what a branch reads, broken ones lead to the "
        "concatenation; rates and grids are height x width. In words, B>3x3@1x6 reads the backbone and 0>1x1 branch 0."
    )
    return ReportSection("Cells", text, pictures)


def _scores(population: Population, scored: Scored) -> str:
    """The scores of a cell in words."""
    text = f"{scored.name}: proxy mIOU {words.score(scored.score.miou)}"
    if scored.score.steps != population.budget:
        text += f" after {scored.score.steps:,} steps"
    miou = population.result.reranked_miou(scored.cell)
    return text if miou is None else f"{text}, re-ranked {words.score(miou)}"


def _write(path: pathlib.Path, cell: Cell, title: str) -> Picture:
    write_json(path.with_suffix(".json"), cell.to_json())
    picture = path.with_suffix(".png")
    draw_cell(cell, picture)
    return f"{title}. {cell.summary()}", picture.read_bytes()
