"""Cells with their scores."""

import dataclasses
import math
import statistics
from typing import Any, Self

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.config.search import PROXY_SIGNALS

GIVEN = "given"  # kind of draw of a warm start
LOSSES = ("loss", "loss_sum", "cross_entropy")
MIOU, CROSS_ENTROPY, MEAN_MIOU, LAST_LOSS, LOSS_SUM = PROXY_SIGNALS


@dataclasses.dataclass(frozen=True)
class ProxyScore:
    """The result of scoring a cell by proxy.

    Attributes:
      miou: mIOU on the held-out features, in [0, 1], after the last rung of the cell; 0 if it diverged.
      loss: mean training loss over the last tenth of that rung's steps; infinite if it diverged.
      seconds: seconds of training and scoring, over all rungs; 0 if unknown.
      loss_sum: sum of that rung's training losses over its steps (a signal without extra cost).
      steps: number of steps of that rung; fewer than the full budget if the cell was stopped early.
      rungs: (steps, miou) of each rung in order.
      step_seconds: seconds per step of the last rung; 0 if unknown.
      cross_entropy: cross entropy of the held-out features at the end of the last rung, the exact mean over the
        labelled pixels, in nats; infinite if it diverged or is unknown.
      points: (step, mIOU, cross entropy) at several steps of the last rung, the last at its end.
      signal: score that ranks: 'miou', 'mean_miou' of the points, or 'cross_entropy', 'last_loss' or 'loss_sum', which
        are better if they are smaller.
    """

    miou: float
    loss: float
    seconds: float = 0.0
    loss_sum: float = 0.0
    steps: int = 0
    rungs: tuple[tuple[int, float], ...] = ()
    step_seconds: float = 0.0
    cross_entropy: float = math.inf
    points: tuple[tuple[int, float, float], ...] = ()
    signal: str = MIOU

    def to_json(self) -> dict[str, Any]:
        """Returns the score as JSON, in which an infinite loss is null."""
        losses = {name: getattr(self, name) if math.isfinite(getattr(self, name)) else None for name in LOSSES}
        points = [[step, miou, entropy if math.isfinite(entropy) else None] for step, miou, entropy in self.points]
        return {**dataclasses.asdict(self), **losses, "rungs": [list(rung) for rung in self.rungs], "points": points}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        losses = {name: math.inf for name in LOSSES if value.get(name) is None}
        points = tuple(
            (step, miou, math.inf if entropy is None else entropy) for step, miou, entropy in value.get("points", ())
        )
        rungs = tuple((steps, miou) for steps, miou in value["rungs"])
        return cls(**{**value, **losses, "rungs": rungs, "points": points})

    @classmethod
    def of_diverged(cls, steps: int) -> Self:
        """Returns the score of a training whose loss was no longer finite after `steps` steps; its mIOU is 0."""
        return cls(miou=0.0, loss=math.inf, loss_sum=math.inf, steps=steps)

    @property
    def diverged(self) -> bool:
        """Returns whether the training of the last rung diverged."""
        return not math.isfinite(self.loss_sum)

    @property
    def rank_key(self) -> tuple[int, float]:
        """Returns the key by which cells are ranked, larger for better ones; a cell that was trained for longer ranks
        before one that was stopped, and one whose training diverged ranks last.
        """
        return 0 if self.diverged else self.steps, self.rank_value

    @property
    def rank_value(self) -> float:
        """Returns the signal as a number that is larger for better cells."""
        values = {
            MIOU: self.miou,
            MEAN_MIOU: self.mean_miou,
            CROSS_ENTROPY: -self.cross_entropy,
            LAST_LOSS: -self.loss,
            LOSS_SUM: -self.loss_sum,
        }
        return values[self.signal]

    @property
    def mean_miou(self) -> float:
        """Returns the mean mIOU of the points; the mIOU if there are none, and 0 if the training diverged."""
        return statistics.fmean(miou for _, miou, _ in self.points) if self.points else self.miou


@dataclasses.dataclass(frozen=True)
class Scored:
    """A cell with its score.

    Attributes:
      name: name of a warm start, or `cell NUMBER`.
      draw: kind of draw: 'given', 'uniform', 'neighbour', 'mutation', ...
      worker: name of the worker that scored it.
      finished: time when it was scored, in seconds since the epoch; 0 if unknown.
    """

    name: str
    cell: Cell
    draw: str
    score: ProxyScore
    worker: str = ""
    finished: float = 0.0
