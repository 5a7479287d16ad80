"""The tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), as Optuna has it (arXiv:2304.11127)."""

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
from deeplab_dpc.search.samplers.optuna_view import VIEW, CellProposer, memory_study, seed_of
from deeplab_dpc.search.samplers.parameters import params_of
from deeplab_dpc.search.samplers.proposals import draw_uniformly
from deeplab_dpc.search.samplers.sampler import Draw
from deeplab_dpc.search.scored import ProxyScore

NUM_STARTUP = 10  # Optuna's default: so many are drawn uniformly first
NUM_BEST = 25  # Optuna's estimate of the good cells is made of this many at most
# Time and memory of a draw grow with the cells seen (0.2 s at 10,000), so that only the latest are shown beside the
# best. How many are shown moves between RECENT and RECENT + RENEWED - 1, since a study of Optuna can only grow.
RECENT = 250
RENEWED = 125
NUM_PROPOSALS = 4


class TPE:
    """Draws cells for which the density of the good cells is high relative to that of the others.

    It is multivariate, with one density over all decisions, since the best operation of a branch depends on its input;
    Optuna's documentation calls this the better choice (arXiv:1807.01774), and it is the default there. It does not use
    `group`, which is for spaces where trials lack parameters, nor `constant_liar`, since candidates that wait for
    scores must not be visible.

    Optuna takes the best tenth, and no more than NUM_BEST, as good; it weighs older ones of the others less, and those
    older than the latest RECENT to RECENT + RENEWED - 1 are left out here. A cell that was stopped early is shown as
    pruned: it is good only if there are too few others, and then those that were trained longest come first.

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
        self._first = 0  # of the latest cells that the study has
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
            # By place after rank, so that nothing depends on the order of equals.
            best = heapq.nlargest(NUM_BEST, range(first), key=lambda place: (self._observed[place][1].rank_key, -place))
            study.add_trials([self._trial(place) for place in sorted(best)])
        # Opened anew, since a Study goes on showing its samplers what it read for an earlier draw.
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
