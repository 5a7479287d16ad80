"""The paper's random search (arXiv:1809.04184, Sec. 3.2): uniform draws mixed with neighbours of the best so far."""

import bisect
import random
from collections.abc import Callable
from typing import Self

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.samplers.sampler import Draw, admitted_neighbour, draw_uniformly
from deeplab_dpc.search.scored import ProxyScore


class RandomSearch:
    """A sampler that draws uniformly, or draws a neighbour of one of the best cells.

    The paper specifies neither the shares nor the distance: "sampling points b uniformly at random as well as sampling
    some points b near the currently best observed architectures". Here the default is half and half, and one decision.

    Args:
      space: space of the cells.
      uniform_fraction: share of uniform draws, in [0, 1]; 1 is pure random search.
      num_best: number of the best cells whose neighbours are drawn, >= 1.
    """

    def __init__(self, space: SearchSpace, uniform_fraction: float = 0.5, num_best: int = 10):
        self.space = space
        self.uniform_fraction = uniform_fraction
        self.num_best = num_best
        self._best: list[tuple[tuple[float, float], int, Cell]] = []  # best first; of equals, the earlier first

    @classmethod
    def from_config(cls, config: SearchConfig, space: SearchSpace, multiply_adds: Callable[[Cell], int]) -> Self:
        """Returns the sampler of a search's configuration."""
        return cls(space, config.uniform_fraction, config.num_best)

    @classmethod
    def uniform(cls, config: SearchConfig, space: SearchSpace, multiply_adds: Callable[[Cell], int]) -> Self:
        """Returns a sampler that draws only uniformly."""
        return cls(space, uniform_fraction=1.0)

    def observe(self, number: int, cell: Cell, score: ProxyScore) -> None:
        steps, value = score.rank_key
        bisect.insort(self._best, ((-steps, -value), number, cell), key=lambda entry: entry[:2])
        del self._best[self.num_best :]

    def draw(self, number: int, rng: random.Random, admits: Callable[[Cell], bool]) -> Draw:
        if self._best and rng.random() >= self.uniform_fraction:
            cell = admitted_neighbour(self.space, rng, lambda: rng.choice(self._best)[2], admits)
            if cell is not None:
                return Draw(cell, "neighbour")
        return draw_uniformly(self.space, rng, admits)
