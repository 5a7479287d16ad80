"""Measurement of the seconds per training step, without compilation and evaluations."""

import time


class Pace:
    """A meter of the seconds per step since the last reading.

    The first step of a process, which traces and compiles, counts only if it is the only one.
    """

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._steps = 0
        self._is_first = True

    def step(self) -> None:
        """Counts a step that has ended."""
        self._steps += 1

    def leave_out(self, seconds: float) -> None:
        """Excludes seconds that do not belong to a step."""
        self._since += seconds

    def seconds_per_step(self) -> float:
        """Returns the mean seconds per step since the last reading."""
        return max(time.monotonic() - self._since, 1e-9) / max(self._steps, 1)

    def read(self) -> float:
        """Returns the seconds per step and starts the next reading."""
        seconds = self.seconds_per_step()
        self._restart()
        return seconds

    def started(self) -> None:
        """Restarts the measurement after the first step, if further steps follow before the next reading."""
        if self._is_first:
            self._restart()

    def _restart(self) -> None:
        self._since, self._steps, self._is_first = time.monotonic(), 0, False
