"""What scores a cell, and the rungs that it may be scored on in turn.

A rung is a training of its own, from scratch, with a rate that falls to 0 within the rung: its score is that of a
finished schedule, not of one that was broken off. With halving_factor eta, a cell that climbs them all pays for the
rungs before the last at most 1 / (eta - 1) of the last one's steps more (the sum of eta ** -k), a third with eta 4.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.search.scored import ProxyScore

# Takes the number of steps of this rung that are done and the loss of the last; may raise to give the scoring up.
OnStep = Callable[[int, float], None]
# Takes a rung's place (0 for the first), its steps and its mIOU, and says whether the cell climbs to the next.
KeepGoing = Callable[[int, int, float], bool]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A cell to score, and who is to know of it.

    Attributes:
      cell: to train.
      on_step: called for each step in turn, when it is done or soon after; what it raises comes through.
      keep_going: asked after each rung but the last; by default all are climbed.
    """

    cell: Cell
    on_step: OnStep | None = None
    keep_going: KeepGoing | None = None


class Evaluator(Protocol):
    """Scores cells, each with the same seed, data order and budgets."""

    def evaluate(self, candidates: Iterable[Candidate], budgets: Sequence[int]) -> Iterator[ProxyScore]:
        """Trains each cell from scratch on one rung after another and scores it; the scores come in the cells' order.

        Args:
          candidates: the next is taken as soon as there is room for it.
          budgets: steps of each rung, rising (SearchConfig.rung_steps).
        """
        ...


def climb(
    budgets: Sequence[int], train: Callable[[int], ProxyScore], keep_going: KeepGoing | None = None
) -> ProxyScore:
    """Returns the score of a cell that is trained on one rung after another until it is stopped, diverges or is done.

    Args:
      budgets: steps of each rung, rising.
      train: trains for so many steps from scratch; returns the score of that rung alone.
      keep_going: see Candidate.
    """
    start = time.monotonic()
    rungs: list[ProxyScore] = []
    for place, steps in enumerate(budgets):
        rungs.append(train(steps))
        if rungs[-1].diverged or place == len(budgets) - 1:
            break
        if keep_going is not None and not keep_going(place, steps, rungs[-1].miou):
            break
    seconds = round(time.monotonic() - start, 2)
    return dataclasses.replace(rungs[-1], seconds=seconds, rungs=tuple((rung.steps, rung.miou) for rung in rungs))
