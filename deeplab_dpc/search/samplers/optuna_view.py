"""The search as seen by Optuna's samplers: cells as parameters, and cells from the proposals of samplers.

A sampler of Optuna is created for each draw, seeded from that draw's random numbers, and called through the public
methods of BaseSampler with a trial that is in no study. It therefore has no state between draws.
"""

import random
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.search.samplers.sampler import Draw, admitted_neighbour, draw_uniformly

VIEW = "observed cells"


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Returns the distributions of each branch's input (0 is the backbone) and of the index of its operation.

    They are integers, since each categorical parameter with 81 choices would write all of them into every trial of the
    storage, which makes it five times as large. Operations with neighbouring indices mostly have neighbouring rates or
    grids.
    """
    parameters: dict[str, BaseDistribution] = {}
    for branch in range(space.num_branches):
        parameters[f"input_{branch}"] = IntDistribution(0, branch)
        parameters[f"operation_{branch}"] = IntDistribution(0, len(space.operations) - 1)
    return parameters


def params_of(space: SearchSpace, cell: Cell) -> dict[str, int]:
    """Returns the parameters of a cell.

    Raises:
      UserError: if `cell` is not in the space.
    """
    codes = space.encode(cell)
    parameters = {}
    for branch in range(space.num_branches):
        parameters[f"input_{branch}"], parameters[f"operation_{branch}"] = codes[2 * branch : 2 * branch + 2]
    return parameters


def cell_of(space: SearchSpace, params: Mapping[str, Any]) -> Cell:
    """Returns the cell of these parameters; other parameters, such as those of another use of the trial, are
    ignored.
    """
    return space.decode(
        [params[f"{kind}_{branch}"] for branch in range(space.num_branches) for kind in ("input", "operation")]
    )


def memory_study(storage: InMemoryStorage, *directions: StudyDirection) -> optuna.Study:
    """Returns a new study, named VIEW, that is visible only in this process."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # Optuna would announce the study
    return optuna.create_study(study_name=VIEW, storage=storage, directions=directions)


def seed_of(rng: random.Random) -> int:
    """Returns a seed for NumPy."""
    return rng.randrange(2**32)


class CellProposer:
    """Creates cells from the proposals of a sampler.

    Args:
      space: space of the cells.
      how: kind of draw of an accepted proposal.
      num_proposals: number of proposals before the neighbours of the last one are tried, >= 1.
    """

    def __init__(self, space: SearchSpace, how: str, num_proposals: int):
        self.space = space
        self.how = how
        self.num_proposals = num_proposals
        self.distributions = distributions(space)
        # A parameter with one value is not a choice, and Optuna's relative sampling does not accept it.
        self._chosen: dict[str, BaseDistribution] = {
            name: distribution for name, distribution in self.distributions.items() if not distribution.single()
        }

    def draw(
        self, sampler: BaseSampler, study: optuna.Study, rng: random.Random, admits: Callable[[Cell], bool]
    ) -> Draw:
        """Returns the first admitted cell among the sampler's proposals, the neighbours of the last one, and uniform
        draws.

        Raises:
          SpaceExhaustedError: if there is none.
        """
        asking = create_trial(state=TrialState.RUNNING)
        for _ in range(self.num_proposals):
            proposed = sampler.sample_relative(study, asking, self._chosen)
            # Parameters that a sampler leaves out are drawn anew, which is how NSGA-II mutates.
            cell = cell_of(self.space, {**params_of(self.space, self.space.sample(rng)), **proposed})
            if admits(cell):
                return Draw(cell, self.how)
        near = admitted_neighbour(self.space, rng, lambda: cell, admits)
        return draw_uniformly(self.space, rng, admits) if near is None else Draw(near, "neighbour")
