"""The paper's random search (arXiv:1809.04184, Sec. 3.2): uniform draws mixed with neighbours of the best so far."""

import bisect
import random
from collections.abc import Callable

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.search.scored import ProxyScore
from deeplab_dpc.search.strategy import Draw, exhausted, first_admitted

ATTEMPTS_PER_CHANGE = 100  # after so many neighbours that are known already, one more decision is changed


class RandomSearch:
    """Draws uniformly, or a neighbour of one of the best.

    Args:
      space: of the cells.
      uniform_fraction: share of uniform draws, in [0, 1]; 1 is pure random search.
      num_best: how many of the best have neighbours drawn.
    """

    def __init__(self, space: SearchSpace, uniform_fraction: float = 0.5, num_best: int = 10):
        self.space = space
        self.uniform_fraction = uniform_fraction
        self.num_best = num_best
        self._best: list[tuple[tuple[float, float], int, Cell]] = []  # best first; of equals, the earlier first

    def observe(self, number: int, cell: Cell, score: ProxyScore) -> None:
        steps, miou = score.rank_key
        bisect.insort(self._best, ((-steps, -miou), number, cell), key=lambda entry: entry[:2])
        del self._best[self.num_best :]

    def draw(self, number: int, rng: random.Random, admits: Callable[[Cell], bool]) -> Draw:
        if self._best and rng.random() >= self.uniform_fraction:
            cell = first_admitted(lambda attempt: self._neighbour(rng, attempt), admits)
            if cell is not None:
                return Draw(cell, "neighbour")
        cell = first_admitted(lambda attempt: self.space.sample(rng), admits)
        if cell is None:
            raise exhausted(self.space.size)
        return Draw(cell, "uniform")

    def _neighbour(self, rng: random.Random, attempt: int) -> Cell:
        parent = rng.choice(self._best)[2]
        # One change nearly always; more only where everything near has been tried.
        most = self.space.num_decisions
        return self.space.neighbour(rng, parent, min(1 + attempt // ATTEMPTS_PER_CHANGE, most))
