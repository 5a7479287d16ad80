"""The early end of a training: at a given step, because it no longer improves, or because its time is over."""

import dataclasses
import math
import time
from collections.abc import Callable

from deeplab_dpc.checkpoint.run_state import Progress
from deeplab_dpc.config import TrainConfig
from deeplab_dpc.config.train import step_before_fall

SCORE = "miou"  # score by which the best checkpoint is kept
SHARE = 5  # The learning rate falls to zero within 1 / SHARE of the steps done so far.
TOLERANCE = 0.03  # share of the limit by which a training may be late before it is shortened
LEAST_SHARE = 20  # a shortened training still has at least 1 / LEAST_SHARE of its steps so far, for the falling rate
LEAST_CALLS = 3  # measurements of the pace before a decision


@dataclasses.dataclass(frozen=True)
class Ending:
    """The early end of a training.

    Attributes:
      start: step from which the learning rate falls: that of the evaluation that exhausted the patience, that at which
        the training was shortened, or a fifth before early_end_step.
      end: last step, at which the learning rate is zero.
      best_step: step of the best evaluation until then; None if the patience is not the reason.
    """

    start: int
    end: int
    best_step: int | None


def last_step(config: TrainConfig, progress: Progress) -> int:
    """Returns the step at which a training ends, given its evaluations so far."""
    ending = early_ending(config, progress)
    return config.training_number_of_steps if ending is None else ending.end


def early_ending(config: TrainConfig, progress: Progress) -> Ending | None:
    """Returns the early end of a training; None if it runs to its last step.

    The result depends only on the state, so that a training that is started again ends at the same step.

    Args:
      config: training configuration, with its patience.
      progress: state of the training. Evaluations until the step at which the run was forked do not count.
    """
    if progress.shortened is not None:
        return Ending(*progress.shortened, best_step=None)
    if config.early_end_step:
        start = max(step_before_fall(config.early_end_step), progress.began)
        return Ending(start, config.early_end_step, best_step=None)
    if not config.early_stopping_patience:
        return None
    best, best_step, waited = -math.inf, progress.began, 0
    for row in progress.validations:
        if row["step"] <= progress.began:
            continue
        if row[SCORE] > best:
            best, best_step, waited = row[SCORE], row["step"], 0
            continue
        waited += 1
        if waited == config.early_stopping_patience:
            end = row["step"] + max(1, row["step"] // SHARE)
            # Near the planned end the rate falls to its last value anyway.
            return Ending(row["step"], end, best_step) if end < config.training_number_of_steps else None
    return None


class TimeLimit:
    """The time of a training, counted from the construction of this object.

    Args:
      seconds: seconds until the training should end.
      clock: function that returns the time in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic):
        self._seconds = seconds
        self._clock = clock
        self._deadline = clock() + seconds
        self._measured = (0, 0.0)  # steps and their seconds until the latest start
        self._latest: tuple[int, float] | None = None  # step and time of the latest call of shorter_end
        self._since: tuple[int, float] | None = None  # the same of the first call since the latest start
        self.start(0)

    def start(self, step: int) -> None:
        """Starts a measurement of the pace; called before the steps are compiled, also after a shortening."""
        if self._since is not None and self._latest is not None:
            steps, seconds = self._measured
            self._measured = (steps + self._latest[0] - self._since[0], seconds + self._latest[1] - self._since[1])
        self._started = (step, self._clock())
        self._since = None
        self._calls = 0

    def leave_out(self, seconds: float) -> None:
        """Excludes seconds that do not belong to a step from the pace, but not from the time."""
        self._started = (self._started[0], self._started[1] + seconds)
        if self._since is not None and self._latest is not None:
            self._since = (self._since[0], self._since[1] + seconds)
            self._latest = (self._latest[0], self._latest[1] + seconds)

    def shorter_end(self, step: int, end: int, reserve: float = 0.0) -> int | None:
        """Returns an earlier end of the training that fits into the time; None if the present one does.

        The pace is the mean of all steps but those before the first call after a start, so that compilation does not
        count, and a slow phase shortens the training only by its share. A shortening costs another start, which took
        the time before that call.

        Args:
          step: number of steps done.
          end: step at which the training ends.
          reserve: seconds that the training needs beside its steps, for evaluations.
        """
        now = self._clock()
        if self._since is None:
            self._since = self._latest = (step, now)
            return None
        self._latest = (step, now)
        self._calls += 1
        if self._calls < LEAST_CALLS:
            return None
        steps, seconds = self._measured
        each = (seconds + now - self._since[1]) / (steps + step - self._since[0])
        left = self._deadline - now - reserve
        if (end - step) * each <= left + TOLERANCE * self._seconds:
            return None
        restart = max(0.0, self._since[1] - self._started[1] - (self._since[0] - self._started[0]) * each)
        sooner = step + max(1, step // LEAST_SHARE, int((left - restart) / each))
        return sooner if (end - sooner) * each > restart else None
