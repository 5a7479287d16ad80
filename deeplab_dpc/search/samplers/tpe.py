"""The tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), as Optuna implements it (arXiv:2304.11127)."""

import heapq
import random
from collections.abc import Callable
from typing import Self

import optuna
from optuna.samplers import TPESampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.samplers.optuna_view import VIEW, CellProposer, memory_study, params_of, seed_of
from deeplab_dpc.search.samplers.sampler import Draw, draw_uniformly
from deeplab_dpc.search.scored import ProxyScore

NUM_STARTUP = 10  # number of uniform draws at the beginning, Optuna's default
NUM_BEST = 25  # largest number of cells in Optuna's estimate of the good ones
# Time and memory of a draw grow with the number of cells (0.2 s at 10,000), so that Optuna is shown only the best and
# the latest. The number of the latest varies between RECENT and RECENT + RENEWED - 1, since its studies can only grow.
RECENT = 250
RENEWED = 125
NUM_PROPOSALS = 4


class TPE:
    """A sampler that draws cells for which the density of the good cells is high relative to that of the others.

    It is multivariate, with one density over all decisions, since the best operation of a branch depends on its input;
    Optuna's documentation calls this the better choice (arXiv:1807.01774), and it is the default there. It does not use
    `group`, which is for spaces where trials lack parameters, nor `constant_liar`, since candidates that wait for
    scores must not be visible.

    Optuna takes the best tenth, and no more than NUM_BEST, as good. Of the others it gives older ones less weight, and
    those older than the latest RECENT to RECENT + RENEWED - 1 are left out here. A cell that was stopped early is shown
    as pruned: it counts as good only if there are too few others, and those that were trained longest come first.

    Args:
      space: space of the cells.
      full_steps: full number of proxy steps; a cell with fewer was stopped early.
    """

    def __init__(self, space: SearchSpace, full_steps: int):
        self.space = space
        self.full_steps = full_steps
        self._proposer = CellProposer(space, "tpe", NUM_PROPOSALS)
        self._observed: list[tuple[Cell, ProxyScore]] = []
        self._storage: InMemoryStorage | None = None
        self._first = 0  # index of the first of the latest cells in the study
        self._shown = 0  # all observed cells before this one are in the study or left out

    @classmethod
    def from_config(cls, config: SearchConfig, space: SearchSpace, multiply_adds: Callable[[Cell], int]) -> Self:
        """Returns the sampler of a search's configuration."""
        return cls(space, config.proxy_steps)

    def observe(self, number: int, cell: Cell, score: ProxyScore) -> None:
        self._observed.append((cell, score))

    def draw(self, number: int, rng: random.Random, admits: Callable[[Cell], bool]) -> Draw:
        if len(self._observed) < NUM_STARTUP or not self.space.num_decisions:
            return draw_uniformly(self.space, rng, admits)
        sampler = TPESampler(
            n_startup_trials=NUM_STARTUP, multivariate=True, group=False, constant_liar=False, seed=seed_of(rng)
        )
        return self._proposer.draw(sampler, self._view(), rng, admits)

    def _view(self) -> optuna.Study:
        """Returns the study that Optuna sees, which depends only on the observations and not on when it was last
        requested.
        """
        first = max(0, len(self._observed) - RECENT) // RENEWED * RENEWED
        if self._storage is None or first != self._first:
            self._storage, self._first, self._shown = InMemoryStorage(), first, first
            study = memory_study(self._storage, StudyDirection.MAXIMIZE)
            # Ties are broken by index, so that nothing depends on the order of equal cells.
            best = heapq.nlargest(NUM_BEST, range(first), key=lambda place: (self._observed[place][1].rank_key, -place))
            study.add_trials([self._trial(place) for place in sorted(best)])
        # Loaded anew, since a Study keeps showing its samplers what it read for an earlier draw.
        study = optuna.load_study(study_name=VIEW, storage=self._storage)
        study.add_trials([self._trial(place) for place in range(self._shown, len(self._observed))])
        self._shown = len(self._observed)
        return study

    def _trial(self, place: int) -> FrozenTrial:
        cell, score = self._observed[place]
        stopped = score.steps < self.full_steps
        return create_trial(
            state=TrialState.PRUNED if stopped else TrialState.COMPLETE,
            value=score.rank_value,
            params=params_of(self.space, cell),
            distributions=self._proposer.distributions,
            intermediate_values={score.steps: score.rank_value},
        )
