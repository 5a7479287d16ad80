"""Regularised evolution (Real et al., AAAI 2019, arXiv:1802.01548, Algorithm 1)."""

import collections
import random
from collections.abc import Callable
from typing import Self

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.samplers.sampler import Draw, admitted_neighbour, draw_uniformly
from deeplab_dpc.search.scored import ProxyScore


class RegularisedEvolution:
    """A sampler that mutates the best of a few cells drawn from the latest ones.

    The regularisation is by age: the oldest cell leaves the population, however good it is. Until the population is
    full, draws are uniform. A mutation changes one decision of the cell; the paper's identity mutation would not give a
    new cell. A cell that was stopped early loses every tournament against cells that were trained for longer
    (ProxyScore.rank_key).

    Args:
      space: space of the cells.
      population_size: size of the population, the paper's P; >= 1.
      tournament_size: size of the tournament, the paper's S, drawn with replacement as there; >= 1.
    """

    def __init__(self, space: SearchSpace, population_size: int = 50, tournament_size: int = 10):
        self.space = space
        self.population_size = population_size
        self.tournament_size = tournament_size
        self._population: collections.deque[tuple[ProxyScore, Cell]] = collections.deque(maxlen=population_size)

    @classmethod
    def from_config(cls, config: SearchConfig, space: SearchSpace, multiply_adds: Callable[[Cell], int]) -> Self:
        """Returns the sampler of a search's configuration."""
        return cls(space, config.population_size, config.tournament_size)

    def observe(self, number: int, cell: Cell, score: ProxyScore) -> None:
        self._population.append((score, cell))

    def draw(self, number: int, rng: random.Random, admits: Callable[[Cell], bool]) -> Draw:
        if len(self._population) == self.population_size:
            tournament = [rng.choice(self._population) for _ in range(self.tournament_size)]
            parent = max(tournament, key=lambda member: member[0].rank_key)[1]
            cell = admitted_neighbour(self.space, rng, lambda: parent, admits)
            if cell is not None:
                return Draw(cell, "mutation")
        return draw_uniformly(self.space, rng, admits)
