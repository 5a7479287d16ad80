"""Results of re-ranking, read from the runs that gave them."""

import dataclasses
import pathlib

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.files import read_json
from deeplab_dpc.search.study import Scored


@dataclasses.dataclass(frozen=True)
class Reranked:
    """A cell with both scores.

    Attributes:
      scored: the cell and its proxy score.
      miou: after end-to-end training, in [0, 1].
      workdir: the run that gave it.
    """

    scored: Scored
    miou: float
    workdir: pathlib.Path


def run_directory(root: pathlib.Path, cell: Cell) -> pathlib.Path:
    """Where a cell's run is, below the directory of the runs."""
    return root / cell.digest()


def result_file(workdir: pathlib.Path, split: str) -> pathlib.Path:
    """The metrics of a finished run; present only once it is."""
    return workdir / f"eval_{split}.json"


def read_reranked(root: pathlib.Path, scored: list[Scored], split: str) -> list[Reranked]:
    """Those of the cells whose runs are finished."""
    found = []
    for one in scored:
        workdir = run_directory(root, one.cell)
        result = result_file(workdir, split)
        if result.exists():
            found.append(Reranked(one, read_json(result, "evaluation")["miou"], workdir))
    return found
