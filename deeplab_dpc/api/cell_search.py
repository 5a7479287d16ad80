"""A search of cells with a user's own evaluator; it needs neither TensorFlow nor Keras."""

import dataclasses
import math
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import SupportsFloat

import optuna
from optuna.storages import BaseStorage

from deeplab_dpc.api.arguments import naming_arguments
from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.config import SearchConfig, ServiceConfig
from deeplab_dpc.config.samplers import SamplerName
from deeplab_dpc.errors import UserError, shown
from deeplab_dpc.search.scored import ProxyScore, Scored
from deeplab_dpc.search.service.attempt import Lease, Task
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.membership import join
from deeplab_dpc.search.service.storage import open_storage
from deeplab_dpc.search.service.work import Outcome, work_off
from deeplab_dpc.search.study import SearchStudy


@dataclasses.dataclass(frozen=True)
class ScoredCell:
    """A cell with its score.

    Attributes:
      cell: the cell.
      score: number that the evaluator returned for it, larger is better.
      name: `cell NUMBER` in the order of the draws, or the name of a cell that was given.
      draw: kind of draw: 'given', 'uniform', 'neighbour', 'mutation', 'tpe', 'nsga2' or 'exhaustive'.
    """

    cell: Cell
    score: float
    name: str
    draw: str


@naming_arguments(num_branches="space", cell_rates="space", cell_grids="space", cell_operations="space")
def search_cells(
    space: SearchSpace,
    evaluate: Callable[[Cell], float],
    *,
    num_candidates: int,
    sampler: SamplerName | str = "paper",
    storage: str | os.PathLike[str] | BaseStorage | None = None,
    study_name: str = "search",
    warm_starts: Sequence[str] = (),
    lookahead: int = 1,
    seed: int = 0,
    uniform_fraction: float = SearchConfig.uniform_fraction,
    num_best: int = SearchConfig.num_best,
    population_size: int = SearchConfig.population_size,
    tournament_size: int = SearchConfig.tournament_size,
    feature_shape: tuple[int, int, int] = (33, 33, 320),
    on_scored: Callable[[ScoredCell], None] | None = None,
) -> list[ScoredCell]:
    """Searches the space for the cells that an evaluator scores best.

    Each cell is scored once, whatever the number of processes. A search with a storage continues where it stopped if
    the same call is made again, also after a kill, and with a larger `num_candidates`. Several processes that make the
    same call with one storage share the work; give them a `lookahead` of at least their number.

    Example:
        from deeplab_dpc import SearchSpace, search_cells
        from deeplab_dpc.arch import PyramidPooling

        def evaluate(cell):  # a training of your own goes here; larger is better
            return sum(isinstance(branch.operation, PyramidPooling) for branch in cell.branches)

        space = SearchSpace(num_branches=3, rates=(1, 6), grids=(1, 2))
        cells = search_cells(space, evaluate, num_candidates=20, storage="journal:study.journal")
        print(cells[0].score, cells[0].cell.summary())

    Args:
      space: space of the candidates.
      evaluate: function called with a cell, which returns a finite number; larger is better.
      num_candidates: number of cells to score, in addition to the warm starts; fewer are scored if the space has fewer.
      sampler: 'paper' (uniform draws mixed with neighbours of the best), 'uniform', 'evolution' (regularised), 'tpe',
        'nsga2' (on the score and the multiply-adds), 'exhaustive', or one that another package adds.
      storage: storage of the scores: a journal file, journal:FILE, grpc://HOST:PORT (Optuna's proxy), the URL of a
        database, or an Optuna storage; None for the memory of this process.
      study_name: name of the search in that storage.
      warm_starts: names or files of cells that are scored first, such as 'aspp' and 'dpc_top1'.
      lookahead: number of cells that may wait for their scores at the same time; draws depend only on the scores of
        earlier cells.
      seed: seed of the draws; the same scores lead to the same draws.
      uniform_fraction: share of uniform draws of the sampler 'paper', in [0, 1].
      num_best: number of the best cells whose neighbours the sampler 'paper' draws.
      population_size: population size of 'evolution' and 'nsga2'.
      tournament_size: tournament size of 'evolution'.
      feature_shape: (height, width, channels) of the features for which multiply-adds are computed, for 'nsga2'.
      on_scored: function called with each cell that this process has scored.

    Returns:
      The scored cells, best first; for equal scores, the cell that was drawn first comes first.

    Raises:
      UserError: if an argument is invalid, the storage cannot be used or holds a search with other arguments, or
        `evaluate` does not return a finite number. Other errors of `evaluate` are passed on; the same call tries again.
    """
    if not isinstance(space, SearchSpace):
        raise UserError(f"`space` must be a SearchSpace, got {shown(space)}.")
    if not callable(evaluate):
        raise UserError(f"`evaluate` must be a function from a cell to a number, got {shown(evaluate)}.")
    config = SearchConfig(
        num_candidates=num_candidates,
        num_branches=space.num_branches,
        cell_rates=space.rates,
        cell_grids=space.grids,
        cell_operations=space.further_operations,
        sampler=sampler,
        uniform_fraction=uniform_fraction,
        num_best=num_best,
        population_size=population_size,
        tournament_size=tournament_size,
        lookahead=lookahead,
        warm_starts=tuple(warm_starts),
        seed=seed,
        proxy_steps=1,
        rerank_top_k=0,
    )
    service = ServiceConfig(study_name=study_name)
    opened = _storage(storage)
    study = SearchStudy(opened, study_name, config, feature_shape, Worker.current(), service.lease_seconds)
    sections = {"evaluator": "a function", "feature_shape": list(feature_shape), "search": config}
    join(opened, study.ledger.study_id, study_name, sections, ["search.num_candidates"])

    def perform(lease: Lease) -> Outcome:
        cell = Cell.from_json(lease.task.attributes["cell"])
        start = time.monotonic()
        value = _finite(evaluate(cell), cell)
        score = ProxyScore(value, loss=0.0, seconds=time.monotonic() - start, steps=1)
        return Outcome(study.values(cell, score), score.to_json())

    work_off(study.ledger, study.open_tasks, study.is_done, perform, _Watch(on_scored))
    study.refresh()
    scored = study.warm_starts() + study.candidates()
    return [_public(one) for one in sorted(scored, key=lambda one: one.score.miou, reverse=True)]


def _storage(storage: str | os.PathLike[str] | BaseStorage | None) -> BaseStorage:
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # as open_storage does
    if storage is None:
        return optuna.storages.InMemoryStorage()
    if isinstance(storage, BaseStorage):
        return storage
    location = storage if isinstance(storage, str) else f"journal:{os.fspath(storage)}"
    return open_storage(location, pathlib.Path(), shared=False)


def _finite(value: SupportsFloat, cell: Cell) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise UserError(f"`evaluate` must return a number, got {value!r} for the cell {cell.summary()}.") from error
    if not math.isfinite(number):
        raise UserError(
            f"`evaluate` must return a finite number, got {number} for the cell {cell.summary()}; return a small "
            "one for a training that diverged."
        )
    return number


def _public(scored: Scored) -> ScoredCell:
    return ScoredCell(scored.cell, scored.score.miou, scored.name, scored.draw)


class _Watch:
    """An observer of the work, which passes results to `on_scored`."""

    def __init__(self, on_scored: Callable[[ScoredCell], None] | None):
        self._on_scored = on_scored

    def finished(self, task: Task, outcome: Outcome) -> None:
        if self._on_scored is not None:
            cell, attributes = Cell.from_json(task.attributes["cell"]), task.attributes
            score = ProxyScore.from_json(dict(outcome.result))
            self._on_scored(ScoredCell(cell, score.miou, attributes["name"], attributes["draw"]))

    def rejected(self, task: Task) -> None:
        pass

    def check(self) -> None:
        pass
