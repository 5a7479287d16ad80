"""How fast a training is: seconds of a step, without compilation and evaluations."""

import time


class Pace:
    """Seconds a step since the last reading.

    The first step of a process, which traces and compiles, counts only where it is the only one.
    """

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._steps = 0
        self._is_first = True

    def step(self) -> None:
        """A step has ended."""
        self._steps += 1

    def leave_out(self, seconds: float) -> None:
        """Time that was no step's."""
        self._since += seconds

    def seconds_per_step(self) -> float:
        """So far, since the last reading."""
        return max(time.monotonic() - self._since, 1e-9) / max(self._steps, 1)

    def read(self) -> float:
        """Returns the seconds of a step; the next reading starts here."""
        seconds = self.seconds_per_step()
        self._restart()
        return seconds

    def started(self) -> None:
        """The first step is done and others follow before the next reading."""
        if self._is_first:
            self._restart()

    def _restart(self) -> None:
        self._since, self._steps, self._is_first = time.monotonic(), 0, False
