"""The time limit of a training: it gets fewer steps if they take longer than planned."""

import time
from collections.abc import Callable

TOLERANCE = 0.03  # share of the limit by which a training may be late before it is shortened
LEAST_SHARE = 20  # a shortened training still has at least 1 / LEAST_SHARE of its steps so far, for the falling rate


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
        self._since: tuple[int, float] | None = None  # step and time since which the pace is measured

    def shorter_end(self, step: int, end: int) -> int | None:
        """Returns an earlier end of the training that fits into the time; None if the present one does.

        The pace is the mean since the first call, or since the training was shortened last, so that compilation does
        not count.

        Args:
          step: number of steps done.
          end: step at which the training ends.
        """
        now = self._clock()
        if self._since is None or step <= self._since[0]:
            self._since = (step, now)
            return None
        each = (now - self._since[1]) / (step - self._since[0])
        left = self._deadline - now
        if (end - step) * each <= left + TOLERANCE * self._seconds:
            return None
        sooner = step + max(1, step // LEAST_SHARE, int(left / each))
        if sooner >= end:
            return None
        self._since = None
        return sooner
