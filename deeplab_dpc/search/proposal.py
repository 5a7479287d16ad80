"""The next cells of a search, and the cost of the rest of it, without claiming a task or writing anything."""

import dataclasses
import pathlib
import shutil
import statistics
import tempfile
import warnings
from collections.abc import Callable

import optuna
from optuna.storages import BaseStorage, InMemoryStorage

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.cell_formulas import cell_cost, receptive_field
from deeplab_dpc.arch.cost import Cost
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.contest.outcome import ContestOutcome
from deeplab_dpc.search.contest.rounds import most_steps
from deeplab_dpc.search.reporting.projection import Plan
from deeplab_dpc.search.samplers.exhaustive import num_distinct_cells
from deeplab_dpc.search.scored import GIVEN, ProxyScore, Scored
from deeplab_dpc.search.service.journal import open_journal
from deeplab_dpc.search.service.ledger import RENEWALS
from deeplab_dpc.search.service.storage import JOURNAL, journal_path, open_storage
from deeplab_dpc.search.study import SearchStudy

SHOWN_CELLS = 10
PROBE_STEPS = 12  # number of steps of each of a probe's trainings
PROJECTED_WORKERS = (1, 4, 16)
JOURNAL_BYTES_PER_CELL = 2600  # measured with cells of five branches
JOURNAL_BYTES_PER_RENEWAL = 120  # for each renewal of a lease


@dataclasses.dataclass(frozen=True)
class ProposedCell:
    """A cell that would be scored."""

    name: str
    draw: str
    cell: Cell
    cost: Cost
    receptive_field: tuple[int, int]  # (height, width) in feature-map cells


@dataclasses.dataclass(frozen=True)
class Remainder:
    """The remaining work of a search.

    Attributes:
      cells: number of cells without a score, warm starts included; an upper bound, since constraints may leave fewer.
      plan: plan of those cells.
      finalists: number of cells in the contest; 0 if there is none, or it is over.
      contest_steps: number of remaining steps of the contest if no finalist leaves before its end.
    """

    cells: int
    plan: Plan
    finalists: int
    contest_steps: int

    @property
    def most_steps(self) -> int:
        """Returns the number of steps of the proxy if no cell is stopped early."""
        return self.cells * sum(self.plan.rung_steps)


def copy_of_study(location: str | None, workdir: pathlib.Path, names: list[str]) -> BaseStorage:
    """Returns copies in memory of the studies with those names; absent ones are left out.

    A journal is read from a copy, so that not even its damaged end is repaired. In a database without Optuna's tables,
    Optuna creates them; an SQLite file is not created.

    Raises:
      UserError: if the location is not a storage.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    copy = InMemoryStorage()
    with tempfile.TemporaryDirectory() as scratch:
        scheme, _, rest = (location or f"journal:{workdir / JOURNAL}").partition(":")
        is_file = scheme == "journal" or scheme.startswith("sqlite")
        path = journal_path(rest) if scheme == "journal" else pathlib.Path(rest.removeprefix("///"))
        if is_file and rest and not path.exists():
            return copy
        if scheme == "journal" and rest:
            copied = pathlib.Path(shutil.copy(path, pathlib.Path(scratch) / JOURNAL))
            storage: BaseStorage = open_journal(copied, shown=path)
        else:
            storage = open_storage(location, workdir, shared=False)
        present = {study.study_name for study in storage.get_all_studies()}
        for name in present.intersection(names):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                optuna.copy_study(from_study_name=name, from_storage=storage, to_storage=copy)
    return copy


def next_cells(study: SearchStudy) -> list[ProposedCell]:
    """Returns the cells that may be scored now and that no worker is scoring, in their order."""
    study.ledger.refresh()
    feature_shape = study.feature_shape
    proposed = []
    for task in study.open_tasks()[:SHOWN_CELLS]:
        cell = Cell.from_json(task.attributes["cell"])
        cost, field = cell_cost(cell, *feature_shape), receptive_field(cell, *feature_shape[:2], study.output_stride)
        proposed.append(ProposedCell(task.attributes["name"], task.attributes["draw"], cell, cost, field))
    return proposed


def remainder(study: SearchStudy, contest: ContestOutcome | None, has_contest: bool) -> Remainder:
    """Returns the remaining work.

    Args:
      study: study after `next_cells`.
      contest: result of the contest so far; None before its first training.
      has_contest: bool, whether there is data for a contest.
    """
    config = study.config
    space = config.space
    candidates = min(config.num_candidates, num_distinct_cells(space))
    given = study.num_given
    cells = max(0, min(study.total, candidates + given) - study.finished)
    given_left = min(cells, max(0, given - len(study.warm_starts())))
    plan = Plan(cells - given_left, config.rung_steps, config.halving_factor, given_left)
    finalists = min(config.rerank_top_k, candidates) + (given if config.rerank_warm_starts else 0)
    is_over = not cells and contest is not None and contest.is_complete
    if is_over or not (has_contest and config.rerank_top_k):
        return Remainder(cells, plan, 0, 0)
    return Remainder(cells, plan, finalists, _contest_steps(config, finalists, contest))


def _contest_steps(config: SearchConfig, finalists: int, contest: ContestOutcome | None) -> int:
    """Returns the largest possible number of remaining steps: those needed to train every finalist that has not left to
    the end with every seed.
    """
    if contest is None:
        return most_steps(config, finalists)
    others = max(0, finalists - len(contest.rounds[0].entrants))
    racing = len(contest.rounds[-1].entrants) + others
    done = sum(standing.steps * len(standing.mious) for standing in contest.standings if not standing.left)
    return max(0, most_steps(config, racing) - done)


def seconds_by_worker(scored: list[Scored], config: SearchConfig) -> dict[str, float]:
    """Returns the typical seconds of a cell by worker: the median, or with early stopping the mean, since cells then
    differ.
    """
    found: dict[str, list[float]] = {}
    for one in scored:
        found.setdefault(one.worker, []).append(one.score.seconds)
    typical = statistics.mean if config.halving_rungs > 1 else statistics.median
    return {worker: typical(seconds) for worker, seconds in found.items()}


def probed_cells(proposed: list[ProposedCell]) -> tuple[ProposedCell, ProposedCell]:
    """Returns the most expensive and the cheapest cell by multiply-adds, of at least one proposed cell.

    Drawn cells are preferred if there are two, since a warm start such as a 1x1 convolution is not typical.
    """
    drawn = [one for one in proposed if one.draw != GIVEN]
    ranked = sorted(drawn if len(drawn) > 1 else proposed, key=lambda one: one.cost.multiply_adds)
    return ranked[-1], ranked[0]


def probe(score: Callable[[Cell], ProxyScore], dearest: ProposedCell, cheapest: ProposedCell) -> list[Scored]:
    """Returns the scores of short trainings of two cells in order, as from one worker: the first of the three includes
    compilation.

    The second training of the most expensive cell and the only one of the cheapest are measured, so that work that an
    evaluator repeats for each cell is included in one of the two.

    Args:
      score: function that trains a cell for PROBE_STEPS steps, and scores it.
      dearest, cheapest: most expensive and cheapest of the proposed cells; see probed_cells.
    """
    tried = [dearest, dearest, cheapest] if cheapest is not dearest else [dearest, dearest]
    return [Scored(one.name, one.cell, one.draw, score(one.cell), "this machine") for one in tried]


def journal_bytes(cells: int, seconds: float, lease_seconds: float) -> float:
    """Returns the number of bytes by which a journal grows for a number of cells that take `seconds` each."""
    return cells * (JOURNAL_BYTES_PER_CELL + JOURNAL_BYTES_PER_RENEWAL * seconds * RENEWALS / lease_seconds)
