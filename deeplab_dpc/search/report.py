"""What a search leaves: the table, results.json, report.html with its pictures, and the cells as JSON and drawings.

results.json    a row a cell, warm starts first, then the candidates, best first by proxy, then what was given up
scores.png      the candidates in their order with the best so far
cells/          the best by proxy (rank_*), the worst and the winner (best), as JSON and PNG
report.html     all that the sections in reporting/ show, in one file; report/ has its pictures
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from deeplab_dpc.console import print_table
from deeplab_dpc.files import atomic_path
from deeplab_dpc.search.given_up import GivenUp
from deeplab_dpc.search.reporting import words
from deeplab_dpc.search.reporting.agreement import agreement
from deeplab_dpc.search.reporting.cells import write_cells
from deeplab_dpc.search.reporting.cost_estimate import cost
from deeplab_dpc.search.reporting.draws import draws
from deeplab_dpc.search.reporting.full_search import full_search
from deeplab_dpc.search.reporting.page import write_page
from deeplab_dpc.search.reporting.pareto import pareto
from deeplab_dpc.search.reporting.population import Population
from deeplab_dpc.search.reporting.scores import over_trials, scores
from deeplab_dpc.search.reporting.section import ReportSection
from deeplab_dpc.search.reporting.stopping import stopping
from deeplab_dpc.search.reporting.style import png
from deeplab_dpc.search.reporting.summary import summary
from deeplab_dpc.search.reporting.usage import usage
from deeplab_dpc.search.result import SearchResult
from deeplab_dpc.search.scored import Scored


def write_report(workdir: pathlib.Path, result: SearchResult, sections: Sequence[ReportSection] = ()) -> None:
    """Writes what the module's docstring lists; a search that is not finished, or has no candidate, has a report too.

    Args:
      workdir: a directory.
      sections: more of report.html, after its own.
    """
    population = Population.of(result)
    _write_results(workdir / "results.json", population)
    with atomic_path(workdir / "scores.png") as partial:
        partial.write_bytes(png(over_trials(population)))
    own = (
        summary(population),
        scores(population),
        draws(population),
        write_cells(workdir / "cells", population),
        usage(population),
        agreement(population),
        pareto(population),
        stopping(population),
        cost(population),
        full_search(population),
    )
    write_page(workdir, [section for section in (*own, *sections) if section is not None])


def _write_results(path: pathlib.Path, population: Population) -> None:
    """A row a line: thousands of cells stay readable, and are written quickly."""
    result = population.result
    reranked = {item.scored.cell: item.miou for item in result.reranked}
    ranked: list[tuple[Scored, int | None]] = [(scored, None) for scored in result.warm_starts]
    ranked += [(population.candidates[place], rank) for rank, place in enumerate(population.order, start=1)]
    rows = [_row(result, scored, rank, reranked.get(scored.cell)) for scored, rank in ranked]
    rows += [{**dict.fromkeys(rows[0] if rows else ()), **_row_given_up(task)} for task in result.given_up]
    with atomic_path(path) as partial:
        partial.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8")


def _row(result: SearchResult, scored: Scored, proxy_rank: int | None, reranked_miou: float | None) -> dict[str, Any]:
    cost = result.cost(scored.cell)
    return {
        "name": scored.name,
        "draw": scored.draw,
        "proxy_rank": proxy_rank,
        "proxy_miou": scored.score.miou,
        "reranked_miou": reranked_miou,
        "loss": scored.score.loss,
        "loss_sum": scored.score.loss_sum,
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
    """What is known of a cell without a score; the other keys are null."""
    return {"name": task.name, "draw": task.draw, "cell": task.cell, "given_up": task.to_json()}


def print_result(result: SearchResult, shown: int = 10) -> None:
    """Prints the warm starts, the best candidates by proxy, and the winner wherever it ranks."""
    best = result.best(shown)
    winner = result.winner()
    if winner is not None and winner not in best:
        best.append(winner)
    print_table(
        f"Warm starts and the best of {len(result.candidates):,} cells ({result.config.proxy_steps:,} proxy steps)",
        ("", "proxy mIOU", "re-ranked mIOU", "parameters", "multiply-adds", "cell"),
        [_table_row(result, scored, scored is winner) for scored in result.warm_starts + best],
    )


def _table_row(result: SearchResult, scored: Scored, is_winner: bool) -> Sequence[str]:
    cost = result.cost(scored.cell)
    return (
        f"{scored.name} *" if is_winner else scored.name,
        words.score(scored.score.miou),
        words.score(result.reranked_miou(scored.cell)),
        words.millions(cost.parameters),
        words.billions(cost.multiply_adds),
        scored.cell.summary(),
    )
