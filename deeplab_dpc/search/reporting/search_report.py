"""The readable results of a search: the table, results.json, and report.html with its pictures.

results.json    one row per cell: warm starts, then the candidates, best first by proxy, then cells that were given up
scores.png      scores of the candidates in their order, with the best so far
report.html     all sections of reporting/ in one file; report/ has its pictures
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from deeplab_dpc.console import print_table
from deeplab_dpc.files import atomic_path
from deeplab_dpc.search import words
from deeplab_dpc.search.contest.best_cells import CELLS_FOLDER
from deeplab_dpc.search.contest.outcome import Standing
from deeplab_dpc.search.contest.result import SearchResult
from deeplab_dpc.search.reporting.cells import cells
from deeplab_dpc.search.reporting.contest import contest
from deeplab_dpc.search.reporting.cost_estimate import cost
from deeplab_dpc.search.reporting.draws import draws
from deeplab_dpc.search.reporting.early_stopping import stopping
from deeplab_dpc.search.reporting.full_search import full_search
from deeplab_dpc.search.reporting.given_up_section import given_up
from deeplab_dpc.search.reporting.pareto import pareto
from deeplab_dpc.search.reporting.population import Population
from deeplab_dpc.search.reporting.rank_agreement import agreement
from deeplab_dpc.search.reporting.report_page import ReportSection, write_page
from deeplab_dpc.search.reporting.scores import over_trials, scores
from deeplab_dpc.search.reporting.search_summary import summary
from deeplab_dpc.search.reporting.style import png
from deeplab_dpc.search.reporting.usage import usage
from deeplab_dpc.search.scored import GIVEN, Scored
from deeplab_dpc.search.service.given_up import GivenUp


def write_report(workdir: pathlib.Path, result: SearchResult, sections: Sequence[ReportSection] = ()) -> None:
    """Writes the files that the module's docstring lists; a search without candidates, or unfinished, has a report too.

    Args:
      workdir: run directory, with the pictures of best_cells.write_cells.
      sections: further sections of report.html, before that of tasks that were given up.
    """
    population = Population.of(result)
    _write_results(workdir / "results.json", population)
    with atomic_path(workdir / "scores.png") as partial:
        partial.write_bytes(png(over_trials(population)))
    own = (
        summary(population),
        contest(population),
        scores(population),
        draws(population),
        cells(workdir / CELLS_FOLDER, population),
        usage(population),
        agreement(population),
        pareto(population),
        stopping(population),
        cost(population),
        full_search(population),
    )
    write_page(workdir, [section for section in (*own, *sections, given_up(result.given_up)) if section is not None])


def _write_results(path: pathlib.Path, population: Population) -> None:
    """Writes one row per line, so that thousands of cells are readable and quickly written."""
    result = population.result
    ranked: list[tuple[Scored, int | None]] = [(scored, None) for scored in result.warm_starts]
    ranked += [(population.candidates[place], rank) for rank, place in enumerate(population.order, start=1)]
    standings = {standing.scored.cell: standing for standing in result.standings}
    winner = result.winner()
    best = None if winner is None else winner.cell
    rows = [_row(result, scored, rank, standings.get(scored.cell), scored.cell == best) for scored, rank in ranked]
    rows += [{**dict.fromkeys(rows[0] if rows else ()), **_row_given_up(task)} for task in result.given_up]
    with atomic_path(path) as partial:
        partial.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8")


def _row(
    result: SearchResult, scored: Scored, proxy_rank: int | None, standing: Standing | None, is_best: bool
) -> dict[str, Any]:
    cost = result.cost(scored.cell)
    return {
        "name": scored.name,
        "draw": scored.draw,
        "proxy_rank": proxy_rank,
        "proxy_miou": scored.score.miou,
        "reranked_miou": None if standing is None else standing.miou,
        "is_best": is_best,
        "contest": None if standing is None else _contest_row(standing),
        **{name: scored.score.to_json()[name] for name in ("loss", "loss_sum")},  # null if it is infinite
        "steps": scored.score.steps,
        "rungs": [list(rung) for rung in scored.score.rungs],
        "seconds": scored.score.seconds,
        "step_seconds": scored.score.step_seconds,
        "worker": scored.worker,
        "finished": scored.finished,
        "parameters": cost.parameters,
        "multiply_adds": cost.multiply_adds,
        "receptive_field": list(result.receptive_field(scored.cell)),
        "cell": scored.cell.to_json(),
        "given_up": None,
    }


def _row_given_up(task: GivenUp) -> dict[str, Any]:
    """Returns the row of a cell without a score; the other keys are null."""
    return {"name": task.name, "draw": task.draw, "cell": task.cell, "given_up": task.to_json()}


def _contest_row(standing: Standing) -> dict[str, Any]:
    return {
        "rounds": standing.rounds,
        "steps": standing.steps,
        "miou_by_seed": list(standing.mious),
        "probability": standing.probability,
        "left": standing.left,
        "seconds": standing.seconds,
        "run": standing.run,
    }


def print_result(result: SearchResult, shown: int = 10) -> None:
    """Prints a table of finalists, warm starts and the best candidates by proxy.

    Finalists come first, best first; the best cell of all, whatever its rank by proxy, has a star.
    """
    winner = result.winner()
    cells = [standing.scored for standing in result.standings]
    others = [scored for scored in result.ranked_by_proxy() if scored.cell not in {one.cell for one in cells}]
    given = [scored for scored in others if scored.draw == GIVEN]
    cells += [scored for scored in others if scored in given or scored in others[:shown]]
    print_table(
        f"Finalists, warm starts and the best of {len(result.candidates):,} cells by proxy "
        f"({result.config.proxy_steps:,} proxy steps)",
        ("", "proxy mIOU", "re-ranked mIOU", "steps", "P(best)", "parameters", "multiply-adds", "cell"),
        [_table_row(result, scored, winner is not None and scored.cell == winner.cell) for scored in cells],
    )


def _table_row(result: SearchResult, scored: Scored, is_winner: bool) -> Sequence[str]:
    cost, standing = result.cost(scored.cell), result.standing(scored.cell)
    real = [words.NONE] * 3
    if standing is not None:
        seeds = "" if len(standing.mious) == 1 else f" x {len(standing.mious)}"
        real = [words.score(standing.miou), f"{standing.steps:,}{seeds}", words.percent(standing.probability)]
    return (
        f"{scored.name} *" if is_winner else scored.name,
        words.score(scored.score.miou),
        *real,
        words.millions(cost.parameters),
        words.billions(cost.multiply_adds),
        scored.cell.summary(),
    )
