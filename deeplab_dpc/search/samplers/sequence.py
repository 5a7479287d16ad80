"""The sequence of candidates, which is the same for one worker as for a hundred.

Candidate n is drawn from the scores of the cells before n - lookahead + 1 and from no others, though more may be known,
with random numbers of its own. So it depends only on the configuration and on those scores, not on the worker and time
of the draw, and a lost draw can be repeated.
"""

import random
from collections.abc import Callable, Sequence

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.search.samplers.sampler import Draw, Sampler, SpaceExhaustedError
from deeplab_dpc.search.scored import GIVEN, ProxyScore


class DrawSequence:
    """The warm starts, then the draws of the sampler, with each cell once by its canonical form.

    Args:
      space: space of the candidates.
      sampler: sampler of the candidates.
      warm_starts: cells that come first.
      lookahead: number of cells that may be waiting for their scores when another is drawn, that one included; >= 1.
      seed: seed of the random numbers.
      admits: function that returns whether a cell satisfies the constraints; warm starts need not.
    """

    def __init__(
        self,
        space: SearchSpace,
        sampler: Sampler,
        warm_starts: Sequence[Cell],
        lookahead: int,
        seed: int,
        admits: Callable[[Cell], bool] = lambda cell: True,
    ):
        self._space = space
        self._sampler = sampler
        self._lookahead = lookahead
        self._seed = seed
        self._admits = admits
        self._num_given = len(warm_starts)
        self._draws = [Draw(cell, GIVEN) for cell in warm_starts]
        self._seen = {cell.digest() for cell in warm_starts}
        self._known: dict[int, Draw] = {}  # drawn by other workers, beyond those of _draws
        self._scores: dict[int, ProxyScore | None] = {}
        self._finished = 0  # all cells before this one have their scores
        self._observed = 0
        self._end: int | None = None  # number at which the space was found exhausted

    def record(self, number: int, score: ProxyScore | None) -> None:
        """Records the score of a cell; None if it was given up. Scores may come in any order."""
        self._scores[number] = score
        while self._finished in self._scores:
            self._finished += 1

    def know(self, number: int, draw: Draw) -> None:
        """Records a draw that a worker has made, so that it is not repeated."""
        if number >= len(self._draws):
            self._known.setdefault(number, draw)

    @property
    def finished(self) -> int:
        """Returns the number of cells, from the first on, that all have their scores."""
        return self._finished

    def score(self, number: int) -> ProxyScore | None:
        """Returns the score of a cell that has one; None if it was given up."""
        return self._scores[number]

    def visible(self, number: int) -> int:
        """Returns the number of cells, from the first on, whose scores are used when that cell is drawn."""
        return max(0, number - self._lookahead + 1)

    def limit(self, wanted: int) -> int:
        """Returns `wanted`, limited to the number of cells in the space as far as that is known."""
        return wanted if self._end is None else min(wanted, self._end)

    def drawable(self, wanted: int) -> range:
        """Returns the numbers below `wanted` that can be drawn now, from the first cell without a score on; some of
        them may have scores.
        """
        return range(self._finished, min(self.limit(wanted), self._finished + self._lookahead))

    def cell(self, number: int) -> Draw | None:
        """Returns the cell with a number that is drawable or lower; None if the space has no cells left."""
        while len(self._draws) <= number and self._end is None:
            self._draw_next()
        return self._draws[number] if number < len(self._draws) else None

    def _draw_next(self) -> None:
        number = len(self._draws)
        # Scores are observed only here and only up to here, so that a draw does not depend on when it is made.
        while self._observed < self.visible(number):
            score, cell = self._scores[self._observed], self._draws[self._observed].cell
            if score is not None and cell in self._space:
                self._sampler.observe(self._observed, cell, score)
            self._observed += 1
        draw = self._known.pop(number, None)
        if draw is None:
            rng = random.Random(f"{self._seed}/{number - self._num_given}")
            try:
                draw = self._sampler.draw(number, rng, self._is_new)
            except SpaceExhaustedError:
                self._end = number
                return
        self._draws.append(draw)
        self._seen.add(draw.cell.digest())

    def _is_new(self, cell: Cell) -> bool:
        return self._admits(cell) and cell.digest() not in self._seen  # the quicker test first
