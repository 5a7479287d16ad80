"""The time limit of a training: it gets fewer steps if they take longer than planned."""

import time
from collections.abc import Callable

TOLERANCE = 0.03  # share of the limit by which a training may be late before it is shortened
LEAST_SHARE = 20  # a shortened training still has at least 1 / LEAST_SHARE of its steps so far, for the falling rate
LEAST_CALLS = 3  # measurements of the pace before a decision


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
        self.start(0)

    def start(self, step: int) -> None:
        """Starts the measurement of the pace; called before the steps are compiled, also after a shortening."""
        self._started = (step, self._clock())
        self._since: tuple[int, float] | None = None  # step and time of the first call of shorter_end
        self._calls = 0

    def leave_out(self, seconds: float) -> None:
        """Excludes seconds that do not belong to a step from the pace, but not from the time."""
        self._started = (self._started[0], self._started[1] + seconds)
        if self._since is not None:
            self._since = (self._since[0], self._since[1] + seconds)

    def shorter_end(self, step: int, end: int, reserve: float = 0.0) -> int | None:
        """Returns an earlier end of the training that fits into the time; None if the present one does.

        The pace is the mean since the first call after a start, so that compilation does not count. A shortening costs
        another start, which took the time before that call.

        Args:
          step: number of steps done.
          end: step at which the training ends.
          reserve: seconds that the training needs beside its steps, for evaluations.
        """
        now = self._clock()
        if self._since is None:
            self._since = (step, now)
            return None
        self._calls += 1
        if self._calls < LEAST_CALLS:
            return None
        each = (now - self._since[1]) / (step - self._since[0])
        left = self._deadline - now - reserve
        if (end - step) * each <= left + TOLERANCE * self._seconds:
            return None
        restart = max(0.0, self._since[1] - self._started[1] - (self._since[0] - self._started[0]) * each)
        sooner = step + max(1, step // LEAST_SHARE, int((left - restart) / each))
        return sooner if (end - sooner) * each > restart else None
