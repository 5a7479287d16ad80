"""The study of a search: candidates are drawn in their order, scored by any worker, and stored by Optuna."""

import math
from collections.abc import Sequence
from typing import Any

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.cell_formulas import cell_cost
from deeplab_dpc.arch.library import load_cells
from deeplab_dpc.arch.operations.atrous_conv import RATE_OUTPUT_STRIDE
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.config.samplers import sampler_entry
from deeplab_dpc.search.samplers.constraints import Constraints
from deeplab_dpc.search.samplers.exhaustive import num_distinct_cells
from deeplab_dpc.search.samplers.optuna_view import distributions, params_of
from deeplab_dpc.search.samplers.sampler import Draw, make_sampler
from deeplab_dpc.search.samplers.sequence import DrawSequence
from deeplab_dpc.search.scored import GIVEN, ProxyScore, Scored
from deeplab_dpc.search.service.attempt import RESULT, Task, understood, worker_of
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.ledger import Ledger

TASKS_OFFERED = 64  # more workers than that rarely ask at the same moment


class SearchStudy:
    """Warm starts and candidates of one search, with their scores.

    Args:
      storage: storage of the study.
      name: name of the study there.
      config: configuration of the search.
      feature_shape: (height, width, channels) of the evaluation split's features, for which costs are computed.
      worker: worker of this process.
      lease_seconds: seconds of a lease without renewal.
      output_stride: output stride of the features, on which receptive fields depend.

    Raises:
      UserError: if the space and the constraints contradict each other, or a warm start is not a cell.
    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        config: SearchConfig,
        feature_shape: tuple[int, int, int],
        worker: Worker,
        lease_seconds: float,
        output_stride: int = RATE_OUTPUT_STRIDE,
    ):
        self.config = config
        self.feature_shape = feature_shape
        self.output_stride = output_stride
        self._space = config.space
        # An upper bound: where the space ends, given the warm starts and constraints, is only found by drawing.
        self._num_candidates = min(config.num_candidates, num_distinct_cells(self._space))
        self._warm_starts = _distinct_cells(config.warm_starts)
        constraints = Constraints.from_config(config, feature_shape, output_stride)
        sampler = make_sampler(config, self._space, self._multiply_adds)
        self._sequence = DrawSequence(
            self._space,
            sampler,
            [cell for _, cell in self._warm_starts],
            config.lookahead,
            config.seed,
            constraints.admits,
        )
        directions = [StudyDirection.MAXIMIZE, *([StudyDirection.MINIMIZE] if self._is_multi_objective else [])]
        self.ledger = Ledger(storage, name, worker, lease_seconds, directions)
        self._scored: dict[int, Scored] = {}
        self._known: set[str] = set()  # keys whose results the sequence knows
        self._missed: set[str] = set()  # keys of given-up tasks that the sequence knows
        self._drawn: set[str] = set()  # keys whose draws the sequence knows

    @property
    def _is_multi_objective(self) -> bool:
        return sampler_entry(self.config.sampler).multi_objective

    @property
    def total(self) -> int:
        """Returns the number of warm starts and candidates together, limited by the space."""
        return self._sequence.limit(len(self._warm_starts) + self._num_candidates)

    @property
    def num_given(self) -> int:
        """Returns the number of warm starts, in the space or not."""
        return len(self._warm_starts)

    def _multiply_adds(self, cell: Cell) -> int:
        return cell_cost(cell, *self.feature_shape).multiply_adds

    def refresh(self) -> None:
        """Reads the storage."""
        self.ledger.refresh()
        self._read_results()

    def open_tasks(self) -> list[Task]:
        """Returns the cells that may be scored now and that no worker is scoring, as of the ledger's last read."""
        self._read_results()
        tasks: list[Task] = []
        for number in self._sequence.drawable(self.total):
            if len(tasks) == TASKS_OFFERED:
                break
            if self.ledger.is_open(str(number)):
                draw = self._sequence.cell(number)
                if draw is None:
                    break
                tasks.append(self._task(number, draw))
        return tasks

    def _task(self, number: int, draw: Draw) -> Task:
        attributes = {
            "name": self._name(number),
            "draw": draw.how,
            "cell": draw.cell.to_json(),
            "summary": draw.cell.summary(),
        }
        if draw.cell not in self._space:
            return Task(str(number), attributes)
        return Task(str(number), attributes, params_of(self._space, draw.cell), distributions(self._space))

    def _name(self, number: int) -> str:
        given = len(self._warm_starts)
        return self._warm_starts[number][0] if number < given else f"cell {number - given}"

    def is_done(self) -> bool:
        """Returns whether all cells have their scores."""
        self._read_results()
        if self._sequence.finished < self.total:
            # A process that draws no cells learns from the next draw where the space ends.
            self._sequence.cell(self._sequence.finished)
        return self._sequence.finished >= self.total

    @property
    def finished(self) -> int:
        """Returns the number of cells with scores, as of the last read."""
        return len(self._scored)

    def values(self, cell: Cell, score: ProxyScore) -> list[float]:
        """Returns the values for Optuna: mIOU, and multiply-adds if they are an objective too."""
        return [score.miou, *([float(self._multiply_adds(cell))] if self._is_multi_objective else [])]

    def visible_scores(self, number: int) -> list[ProxyScore]:
        """Returns the scores that were known when a cell was drawn, with which it may be compared."""
        scores = (self._sequence.score(earlier) for earlier in range(self._sequence.visible(number)))
        return [score for score in scores if score is not None]

    def _read_results(self) -> None:
        """Passes the results that the ledger has read to the sequence."""
        for key, trial in [*self.ledger.running.items(), *self.ledger.finished.items()]:
            if key not in self._drawn:
                self._drawn.add(key)
                with understood(trial):
                    draw = Draw(Cell.from_json(trial.user_attrs["cell"]), trial.user_attrs["draw"])
                    self._sequence.know(int(key), draw)
        for key in [*self.ledger.finished.keys() - self._known]:
            self._known.add(key)
            scored = _scored(self.ledger.finished[key])
            self._scored[int(key)] = scored
            self._sequence.record(int(key), scored.score)
        # A given-up task that is tried again can still get a result.
        for key in self.ledger.given_up() - self._missed:
            self._missed.add(key)
            self._sequence.record(int(key), None)

    def warm_starts(self) -> list[Scored]:
        """Returns the scored warm starts, in their order."""
        return [scored for _, scored in sorted(self._scored.items()) if scored.draw == GIVEN]

    def candidates(self) -> list[Scored]:
        """Returns the scored candidates, in the order they were drawn."""
        return [scored for _, scored in sorted(self._scored.items()) if scored.draw != GIVEN]


def check_space(config: SearchConfig, feature_shape: tuple[int, int, int], output_stride: int) -> None:
    """Raises a UserError if space, limits and sampler contradict each other; to be called before anything is written.

    Args:
      config: configuration of the search.
      feature_shape: (height, width, channels) of the evaluation split's features.
      output_stride: output stride of those features.
    """
    Constraints.from_config(config, feature_shape, output_stride)
    check_sampler(config)


def check_sampler(config: SearchConfig) -> None:
    """Raises a UserError if the sampler does not suit the space; it can be called before there are features."""
    make_sampler(config, config.space, lambda cell: 0)


def _distinct_cells(names: Sequence[str]) -> list[tuple[str, Cell]]:
    cells: dict[str, tuple[str, Cell]] = {}
    for name, cell in load_cells(names, "warm_starts"):
        cells.setdefault(cell.digest(), (name, cell))
    return list(cells.values())


def _scored(trial: FrozenTrial) -> Scored:
    attributes: dict[str, Any] = trial.user_attrs
    finished = trial.datetime_complete
    with understood(trial):
        score = ProxyScore.from_json(attributes[RESULT])
        if not math.isclose(score.miou, trial.values[0], abs_tol=1e-12):
            raise ValueError(f"its score is both {score.miou} and {trial.values[0]}")
        return Scored(
            attributes["name"],
            Cell.from_json(attributes["cell"]),
            attributes["draw"],
            score,
            str(worker_of(trial)),
            finished.timestamp() if finished else 0.0,
        )
