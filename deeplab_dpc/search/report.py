"""What a search leaves: the table, results.json, score plots, and the cells as JSON and drawings."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import matplotlib.figure

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.cost import Cost, cell_cost
from deeplab_dpc.arch.drawing import draw_cell
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.console import print_table
from deeplab_dpc.files import atomic_path, write_json
from deeplab_dpc.search.feature_cache import FeatureCache
from deeplab_dpc.search.reranked import Reranked
from deeplab_dpc.search.study import BASELINE, Scored

KEPT_CELLS = 10  # the best cells by proxy that are written as files, beside the winner


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """Scores of a search, finished or not.

    Attributes:
      cache: the features; their size is the one that costs are counted for.
      config: of the search.
      baselines, candidates: scored by proxy, in the order they were drawn.
      reranked: those trained end to end.
    """

    cache: FeatureCache
    config: SearchConfig
    baselines: list[Scored]
    candidates: list[Scored]
    reranked: list[Reranked]

    def best(self, count: int) -> list[Scored]:
        """The best candidates by proxy, best first."""
        return sorted(self.candidates, key=lambda scored: -scored.score.miou)[:count]

    def winner(self) -> Cell | None:
        """The best candidate by re-ranked score, or by proxy if none was re-ranked; None if there is none."""
        searched = [reranked for reranked in self.reranked if reranked.scored.draw != BASELINE]
        if searched:
            return max(searched, key=lambda reranked: reranked.miou).scored.cell
        return self.best(1)[0].cell if self.candidates else None

    def reranked_miou(self, cell: Cell) -> float | None:
        """The re-ranked score of a cell, if it has one."""
        return next((item.miou for item in self.reranked if item.scored.cell == cell), None)

    def cost(self, cell: Cell) -> Cost:
        """Parameters and multiply-adds of a cell with its projection, on features of the scoring split's size."""
        _, height, width, channels = self.cache.split(self.config.eval_split).features.shape
        return cell_cost(cell, height, width, channels)


def write_report(workdir: pathlib.Path, result: SearchResult) -> None:
    """Writes results.json, scores.png, and as JSON and PNG the best cells by proxy (rank_*) and the winner (best)."""
    rows = result.baselines + result.best(len(result.candidates))
    write_json(workdir / "results.json", [_row(result, scored) for scored in rows])
    _plot(workdir / "scores.png", result)
    folder = workdir / "cells"
    for rank, scored in enumerate(result.best(KEPT_CELLS), start=1):
        title = f"{scored.name}: rank {rank} by proxy, mIOU {scored.score.miou:.4f}"
        _write_cell(folder / f"rank_{rank:02d}", scored.cell, title)
    winner = result.winner()
    if winner is not None:
        miou = result.reranked_miou(winner)
        _write_cell(folder / "best", winner, "best cell" if miou is None else f"best cell, re-ranked mIOU {miou:.4f}")


def _write_cell(path: pathlib.Path, cell: Cell, title: str) -> None:
    write_json(path.with_suffix(".json"), cell.to_json())
    draw_cell(cell, path.with_suffix(".png"), title)


def _row(result: SearchResult, scored: Scored) -> dict[str, Any]:
    cost = result.cost(scored.cell)
    return {
        "name": scored.name,
        "draw": scored.draw,
        "proxy_miou": scored.score.miou,
        "reranked_miou": result.reranked_miou(scored.cell),
        "loss": scored.score.loss,
        "seconds": scored.score.seconds,
        "parameters": cost.parameters,
        "multiply_adds": cost.multiply_adds,
        "cell": scored.cell.to_json(),
    }


def print_result(result: SearchResult, shown: int = 10) -> None:
    """Prints the baselines, the best candidates by proxy, and the winner wherever it ranks."""
    best = result.best(shown)
    winner = result.winner()
    best += [scored for scored in result.candidates if scored.cell == winner and scored not in best]
    print_table(
        f"Baselines and the best of {len(result.candidates)} cells ({result.config.proxy_steps} proxy steps)",
        ("", "proxy mIOU", "re-ranked mIOU", "parameters", "multiply-adds", "cell"),
        [_table_row(result, scored, scored.cell == winner) for scored in result.baselines + best],
    )


def _table_row(result: SearchResult, scored: Scored, is_winner: bool) -> Sequence[str]:
    cost = result.cost(scored.cell)
    miou = result.reranked_miou(scored.cell)
    return (
        f"{scored.name} *" if is_winner else scored.name,
        f"{scored.score.miou:.4f}",
        "-" if miou is None else f"{miou:.4f}",
        f"{cost.parameters / 1e6:.2f}M",
        f"{cost.multiply_adds / 1e9:.2f}B",
        scored.cell.summary(),
    )


def _plot(path: pathlib.Path, result: SearchResult) -> None:
    figure = matplotlib.figure.Figure(figsize=(9, 3.6), layout="constrained")
    over_trials, distribution = figure.subplots(1, 2)
    for draw, marker in (("uniform", "o"), ("neighbour", "^")):
        points = [(i, scored.score.miou) for i, scored in enumerate(result.candidates, 1) if scored.draw == draw]
        if points:
            over_trials.plot(*zip(*points, strict=True), marker, label=f"{draw} draw", alpha=0.7)
    scores = [scored.score.miou for scored in result.candidates]
    so_far = [max(scores[:i]) for i in range(1, len(scores) + 1)]
    if scores:
        over_trials.plot(range(1, len(scores) + 1), so_far, color="black", linewidth=1, label="best so far")
        distribution.hist(scores, bins=min(30, max(5, len(scores) // 2)), color="tab:blue", alpha=0.7)
    for i, scored in enumerate(result.baselines):
        for axes, line in ((over_trials, over_trials.axhline), (distribution, distribution.axvline)):
            label = scored.name if axes is over_trials else None
            line(scored.score.miou, color=f"C{i + 2}", linestyle="--", linewidth=1, label=label)
    over_trials.set(xlabel="candidate", ylabel="proxy mIOU")
    distribution.set(xlabel="proxy mIOU", ylabel="candidates")
    if result.candidates or result.baselines:
        over_trials.legend(fontsize=7)
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=110, format="png")
