"""Handling of SIGTERM and Ctrl-C in training: they are recorded, so that the current step is finished and saved
first.
"""

import signal
import threading
import types
from collections.abc import Callable
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """A context in which the first SIGTERM or SIGINT is only recorded; a second one has its usual effect.

    Args:
      agreed_to_stop: function of a training with several processes that returns after each step whether any of them has
        received SIGTERM, with the same result in all of them; signals are then not handled here. None for one process.

    Attributes:
      received: signal that was received, or None.
    """

    def __init__(self, agreed_to_stop: Callable[[int], bool] | None = None) -> None:
        self.received: signal.Signals | None = None
        self._agreed_to_stop = agreed_to_stop
        self._before: dict[signal.Signals, Any] = {}

    def after(self, step: int) -> signal.Signals | None:
        """Returns the signal for which the training must stop after this step; to be called once after each step."""
        if self._agreed_to_stop is not None and self._agreed_to_stop(step):
            self.received = signal.SIGTERM
        return self.received

    def __enter__(self) -> "Interruption":
        # Python sets handlers only in the main thread; in other threads the handlers of the process remain.
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and self._agreed_to_stop is None:
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        self.received = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
