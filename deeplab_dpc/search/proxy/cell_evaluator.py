"""The interface of an evaluator, which scores cells, and the rungs on which a cell may be scored in turn.

Each rung is a separate training from scratch, with a learning rate that falls to 0 within the rung, so that its score
is that of a finished schedule and not of an interrupted one. With halving_factor eta, the rungs before the last add at
most 1 / (eta - 1) of the last one's steps to a cell that climbs all of them (the sum of eta ** -k): a third with eta 4.

Early stopping is asynchronous successive halving, deterministic for any number of workers.

Successive halving (Jamieson & Talwalkar, 2016, arXiv:1502.07943) gives every candidate a small budget, the best 1 / eta
of them eta times as much, and so on. Its asynchronous form (Li et al., 2018, arXiv:1810.05934, Algorithm 2) does not
wait for a rung to fill: whether a candidate climbs is decided by the candidates that have reached the rung so far.

There, "so far" depends on the speed of workers. Here it means the scores from which candidate n was drawn: those of the
cells before n - lookahead + 1 and no others (sequence.py). So the same cells climb, whatever the workers and timing.
A candidate is judged once, when it has reached the rung; one that was stopped is not resumed.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.scored import ProxyScore

# Function called with (number of finished steps of this rung, loss of the last one); may raise to end the scoring.
OnStep = Callable[[int, float], None]
# Function called with (index of a rung, its steps, its mIOU); returns whether the cell climbs to the next rung.
KeepGoing = Callable[[int, int, float], bool]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A cell to score, with the callbacks of its training.

    Attributes:
      cell: cell to train.
      on_step: function called for each step in order, when it is done or soon after; its errors are passed on.
      keep_going: function called after each rung but the last; None if the cell climbs all rungs.
    """

    cell: Cell
    on_step: OnStep | None = None
    keep_going: KeepGoing | None = None


class Evaluator(Protocol):
    """Scores cells, each with the same seed, data order and budgets."""

    def evaluate(self, candidates: Iterable[Candidate], budgets: Sequence[int]) -> Iterator[ProxyScore]:
        """Trains each cell from scratch on one rung after another, and yields the scores in the order of the cells.

        Args:
          candidates: candidates to score; the next one is taken as soon as there is room for it.
          budgets: number of steps of each rung, ascending (SearchConfig.rung_steps).
        """
        ...


def climb(
    budgets: Sequence[int], train: Callable[[int], ProxyScore], keep_going: KeepGoing | None = None
) -> ProxyScore:
    """Returns the score of a cell that is trained on one rung after another until it is stopped, diverges or is done.

    Args:
      budgets: number of steps of each rung, ascending.
      train: function that trains for a number of steps from scratch, and returns the score of that rung alone.
      keep_going: function called after each rung but the last; see Candidate.
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


class HalvingRule:
    """Decides whether a candidate climbs to the next rung, without state between candidates.

    Args:
      config: configuration of the search, whose halving_factor is eta.
    """

    def __init__(self, config: SearchConfig):
        self._factor = config.halving_factor

    def keep_going(self, known: Iterable[ProxyScore], rung: int, miou: float) -> bool:
        """Returns whether fewer than 1 / eta of the known cells that were scored on this rung are better.

        With fewer than eta such cells there is no best 1 / eta of them, and the candidate climbs. Cells with equal
        scores are not better. Warm starts are among the known cells, but are never stopped: this is not called for
        them.

        Args:
          known: scores that candidate n may see, of the cells before n - lookahead + 1, including warm starts.
          rung: index of the rung, 0 for the first.
          miou: mIOU of the candidate on this rung.
        """
        reached = [score.rungs[rung][1] for score in known if len(score.rungs) > rung]
        if len(reached) < self._factor:
            return True
        better = sum(other > miou for other in reached)
        return better * self._factor < len(reached)
