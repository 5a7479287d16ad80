"""The paper's random search (arXiv:1809.04184, Sec. 3.2): uniform draws mixed with neighbours of the best so far."""

import random
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.errors import UserError

MAX_ATTEMPTS = 1000


class SpaceExhaustedError(UserError):
    """There is no cell left that has not been tried."""


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Optuna's parameters of a cell: for each branch its input (0 is the backbone) and its operation's index.

    Integers, since categorical distributions with 81 choices make the storage five times as large.
    """
    parameters: dict[str, BaseDistribution] = {}
    for branch in range(space.num_branches):
        parameters[f"input_{branch}"] = IntDistribution(0, branch)
        parameters[f"operation_{branch}"] = IntDistribution(0, len(space.operations) - 1)
    return parameters


def cell_of(space: SearchSpace, params: dict[str, Any]) -> Cell:
    """The cell of a trial's parameters."""
    codes = [params[f"{kind}_{branch}"] for branch in range(space.num_branches) for kind in ("input", "operation")]
    return space.decode(codes)


def params_of(space: SearchSpace, cell: Cell) -> dict[str, int]:
    """A trial's parameters for a cell."""
    return dict(zip(distributions(space), space.encode(cell), strict=True))


class CellSampler(BaseSampler):
    """Draws cells that compute something new: uniformly, or as neighbours of one of the best so far.

    The draw depends on the seed and on the earlier trials only, so that a search which was stopped goes on as if it
    had not been; failed trials do not count.

    Args:
      space: of the cells.
      uniform_fraction: share of uniform draws, in [0, 1].
      num_best: how many of the best trials have neighbours drawn.
      seed: any integer.
    """

    def __init__(self, space: SearchSpace, uniform_fraction: float, num_best: int, seed: int):
        self.space = space
        self.uniform_fraction = uniform_fraction
        self.num_best = num_best
        self.seed = seed
        self.draws: dict[int, str] = {}  # how the cell of each trial asked for was drawn

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return distributions(self.space)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        others = [
            other
            for other in study.get_trials(deepcopy=False)
            if other.number != trial.number and other.state in (TrialState.RUNNING, TrialState.COMPLETE)
        ]
        cell, self.draws[trial.number] = self._draw(random.Random(f"{self.seed}/{len(others)}"), others)
        return params_of(self.space, cell)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        raise ValueError(f"A cell is drawn as a whole, not by parameter; {param_name} is not one of the space's.")

    def _draw(self, rng: random.Random, others: list[FrozenTrial]) -> tuple[Cell, str]:
        seen = {cell_of(self.space, other.params).digest() for other in others}
        finished = [other for other in others if other.state == TrialState.COMPLETE]
        best = sorted(finished, key=lambda other: (-(other.value or 0.0), other.number))[: self.num_best]
        uniform = not best or rng.random() < self.uniform_fraction
        for attempt in range(MAX_ATTEMPTS):
            if uniform:
                cell = self.space.sample(rng)
            else:
                # One change nearly always; more only where everything near has been tried.
                parent = cell_of(self.space, rng.choice(best).params)
                most = 2 * self.space.num_branches - 1  # the first branch has no choice of its input
                cell = self.space.neighbour(rng, parent, min(1 + attempt // 100, most))
            if cell.digest() not in seen:
                return cell, "uniform" if uniform else "neighbour"
        raise SpaceExhaustedError(
            f"No new cell was found in {MAX_ATTEMPTS} draws: the space with --num_branches={self.space.num_branches} "
            f"has {self.space.size} cells, and {len(seen)} different ones are tried; lower --num_candidates."
        )
