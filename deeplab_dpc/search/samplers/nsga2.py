"""NSGA-II (Deb et al., 2002, IEEE Trans. Evol. Comput. 6(2)) on mIOU and multiply-adds, as Optuna implements it."""

import random
from collections.abc import Callable
from typing import Self

import optuna
from optuna.samplers import NSGAIISampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, create_trial

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.samplers.optuna_view import CellProposer, memory_study, params_of, seed_of
from deeplab_dpc.search.samplers.sampler import Draw, draw_uniformly
from deeplab_dpc.search.scored import ProxyScore

NUM_PROPOSALS = 20
MIN_PARENTS = 2  # number of parents that a crossover needs
_GENERATION = 1  # any but 0, which has no parents


class NSGA2:
    """A sampler that crosses cells of which no other is both better and cheaper, and mutates some of their decisions.

    The observed cells in their order, population_size at a time, are the generations. When a generation is complete, it
    competes with the parents of the generation before to be the parents of the next: by non-dominated sorting on the
    mIOU (maximised) and the multiply-adds (minimised), then by crowding distance. Draws depend on those parents, and
    not on incomplete generations; before the first generation is complete, they are uniform. A crossover swaps each
    decision with probability 1/2, and each decision is mutated, drawn anew, with probability 1 / (number of decisions)
    (Optuna's defaults). A cell that was stopped early has no comparable mIOU and is not a parent.

    Args:
      space: space of the cells.
      multiply_adds: function that returns the multiply-adds of a cell.
      population_size: number of cells in a generation, >= 2.
      full_steps: full number of proxy steps; a cell with fewer was stopped early.

    Raises:
      UserError: if the population is too small.
    """

    def __init__(self, space: SearchSpace, multiply_adds: Callable[[Cell], int], population_size: int, full_steps: int):
        if population_size < MIN_PARENTS:
            raise UserError(
                f"--sampler=nsga2 needs two parents for a crossover, got --population_size={population_size}; "
                "give 2 or more."
            )
        self.space = space
        self.multiply_adds = multiply_adds
        self.population_size = population_size
        self.full_steps = full_steps
        self._proposer = CellProposer(space, "nsga2", NUM_PROPOSALS)
        self._study = memory_study(
            InMemoryStorage(), StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
        )  # has no trials, only the directions
        self._num_observed = 0
        self._generation: list[FrozenTrial] = []  # incomplete; without the cells that were stopped early
        self._parents: list[FrozenTrial] = []

    @classmethod
    def from_config(cls, config: SearchConfig, space: SearchSpace, multiply_adds: Callable[[Cell], int]) -> Self:
        """Returns the sampler of a search's configuration."""
        return cls(space, multiply_adds, config.population_size, config.proxy_steps)

    def observe(self, number: int, cell: Cell, score: ProxyScore) -> None:
        self._num_observed += 1
        if score.steps >= self.full_steps:
            self._generation.append(self._trial(number, cell, score))
        if self._num_observed % self.population_size == 0:
            self._parents = self._sampler(seed=0).select_parent(self._study, _GENERATION)  # draws no random numbers
            self._generation = []

    def draw(self, number: int, rng: random.Random, admits: Callable[[Cell], bool]) -> Draw:
        if len(self._parents) < MIN_PARENTS or not self.space.num_decisions:
            return draw_uniformly(self.space, rng, admits)
        return self._proposer.draw(self._sampler(seed_of(rng)), self._study, rng, admits)

    def _sampler(self, seed: int) -> "_Generations":
        return _Generations(self._generation, self._parents, self.population_size, seed)

    def _trial(self, number: int, cell: Cell, score: ProxyScore) -> FrozenTrial:
        trial = create_trial(
            values=[score.rank_value, self.multiply_adds(cell)],
            params=params_of(self.space, cell),
            distributions=self._proposer.distributions,
        )
        trial.number = number  # crowding distances are kept by number
        return trial


class _Generations(NSGAIISampler):
    """Optuna's sampler with given generations and parents.

    Optuna counts generations when trials are requested, and stores them in the study, so that they would depend on
    which worker asked when. The overridden methods are those that BaseGASampler provides for its subclasses.

    Args:
      population: population of the generation before.
      parents: parents of the generation to draw, or of the one before while parents are selected.
    """

    def __init__(self, population: list[FrozenTrial], parents: list[FrozenTrial], population_size: int, seed: int):
        super().__init__(population_size=population_size, seed=seed)
        self._population = population
        self._parents = parents

    def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:
        return _GENERATION

    def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        return self._population

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        return self._parents
