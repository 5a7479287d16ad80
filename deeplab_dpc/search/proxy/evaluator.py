"""The interface that scores a cell, and the rungs on which it is scored in turn.

A rung is a training of its own, from scratch, with a rate that falls to 0 within the rung: its score is that of a
finished schedule, not of an interrupted one. With halving_factor eta, the rungs before the last cost a cell that climbs
them all at most 1 / (eta - 1) of the last one's steps (the sum of eta ** -k), a third with eta 4.
"""

import dataclasses
import math
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
    """A cell to score, with its callbacks.

    Attributes:
      cell: cell to train.
      on_step: function called for each step in turn, when it is done or soon after; its errors are passed on.
      keep_going: function called after each rung but the last to decide whether to continue; by default all rungs are
        climbed.
    """

    cell: Cell
    on_step: OnStep | None = None
    keep_going: KeepGoing | None = None


class Evaluator(Protocol):
    """Scores cells, each with the same seed, data order and budgets."""

    def evaluate(self, candidates: Iterable[Candidate], budgets: Sequence[int]) -> Iterator[ProxyScore]:
        """Trains each cell from scratch on one rung after another and scores it; the scores come in the cells' order.

        Args:
          candidates: candidates; the next one is taken as soon as there is room for it.
          budgets: numbers of steps of each rung, ascending (SearchConfig.rung_steps).
        """
        ...


@dataclasses.dataclass(frozen=True)
class Rung:
    """The result of one training.

    Attributes:
      steps: number of steps that were trained.
      miou: mIOU in [0, 1].
      loss: mean training loss over the last tenth of the steps.
      loss_sum: sum of the training losses of all steps.
      step_seconds: seconds per step; 0 if unknown.
      cross_entropy: cross entropy of the held-out images at its end, in nats per labelled pixel; infinite if unknown.
      points: (step, mIOU, cross entropy) at several steps; the last is at its end.
    """

    steps: int
    miou: float
    loss: float
    loss_sum: float
    step_seconds: float = 0.0
    cross_entropy: float = math.inf
    points: tuple[tuple[int, float, float], ...] = ()

    @property
    def diverged(self) -> bool:
        return not math.isfinite(self.loss_sum)


def diverged_rung(steps: int) -> Rung:
    """Returns the result of a training whose loss was not finite after that many steps: it has no network, so its mIOU
    is 0.
    """
    return Rung(steps, 0.0, math.inf, math.inf)


def climb(budgets: Sequence[int], train: Callable[[int], Rung], keep_going: KeepGoing | None = None) -> ProxyScore:
    """Returns the score of a cell that is trained on one rung after another until it is stopped, diverges or is done.

    Args:
      budgets: numbers of steps of each rung, ascending.
      train: function that trains for that number of steps from scratch.
      keep_going: see Candidate.
    """
    start = time.monotonic()
    rungs: list[Rung] = []
    for place, steps in enumerate(budgets):
        rungs.append(train(steps))
        if rungs[-1].diverged or place == len(budgets) - 1:
            break
        if keep_going is not None and not keep_going(place, steps, rungs[-1].miou):
            break
    last = rungs[-1]
    return ProxyScore(
        miou=last.miou,
        loss=last.loss,
        seconds=round(time.monotonic() - start, 2),
        loss_sum=last.loss_sum,
        steps=last.steps,
        rungs=tuple((rung.steps, rung.miou) for rung in rungs),
        step_seconds=last.step_seconds,
        cross_entropy=last.cross_entropy,
        points=last.points,
    )
