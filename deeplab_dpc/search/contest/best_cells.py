"""The product of a search: its best cell, the best cells by proxy, and the verdict.

cells/best.json, best.png          the best cell, drawn or given
cells/rank_01.json, ...            the best candidates by proxy
cells/worst.json, worst.png        the worst candidate by proxy
verdict.json                       the sentence at the end of a search, and its numbers
"""

import pathlib
from typing import Any

from deeplab_dpc.arch.drawing import draw_cell
from deeplab_dpc.files import write_json
from deeplab_dpc.search.contest.result import SearchResult
from deeplab_dpc.search.contest.sentence import sentence
from deeplab_dpc.search.scored import Scored

CELLS_FOLDER, BEST, WORST = "cells", "best", "worst"
VERDICT_FILE = "verdict.json"
KEPT_CELLS = 10  # number of the best cells by proxy that are written as files, beside the winner and the worst


def kept_cells(result: SearchResult) -> dict[str, Scored]:
    """Returns the cells that are written, by the stem of their file names."""
    winner = result.winner()
    if winner is None:
        return {}
    ranked = result.best(len(result.candidates))
    kept = {BEST: winner} | {f"rank_{rank:02d}": one for rank, one in enumerate(ranked[:KEPT_CELLS], start=1)}
    return kept | ({WORST: ranked[-1]} if len(ranked) > KEPT_CELLS else {})


def write_cells(workdir: pathlib.Path, result: SearchResult) -> None:
    """Writes the files that the module's docstring lists; only the verdict if no cell has a score."""
    for stem, scored in kept_cells(result).items():
        write_json(workdir / CELLS_FOLDER / f"{stem}.json", scored.cell.to_json())
        draw_cell(scored.cell, workdir / CELLS_FOLDER / f"{stem}.png")
    write_json(workdir / VERDICT_FILE, verdict(result))


def verdict(result: SearchResult) -> dict[str, Any]:
    """Returns the verdict's sentence and its values as JSON.

    `run` is the run directory of the winner's best seed, which is a normal run, and None without real trainings.
    """
    contest, winner = result.contest, result.winner()
    found: dict[str, Any] = {"sentence": sentence(result), "best": None}
    if winner is None:
        return found
    standing = contest.winner() if contest is not None else None
    best: dict[str, Any] = {
        "name": winner.name,
        "cell": winner.cell.to_json(),
        "proxy_miou": winner.score.miou,
        "miou": None,
        "probability": None,
        "steps": None,
        "seeds": None,
        "run": None,
        "is_decided": False,
        "over": {},
    }
    if contest is not None and standing is not None:
        best |= {
            "miou": standing.miou,
            "probability": standing.probability,
            "steps": standing.steps,
            "seeds": len(standing.mious),
            "run": standing.run,
            "is_decided": contest.is_complete,
        }
        for other in contest.standings[1:]:
            difference = contest.difference(winner.cell, other.scored.cell)
            if difference is not None:
                interval = [difference.low, difference.high]
                best["over"][other.scored.name] = {
                    "miou": difference.value,
                    "interval": interval,
                    "steps": difference.steps,
                }
    return found | {"best": best}
