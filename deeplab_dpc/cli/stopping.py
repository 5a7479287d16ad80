"""Handling of SIGTERM like Ctrl-C: incomplete files are removed, and one line is printed."""

import contextlib
import signal
from collections.abc import Iterator

from deeplab_dpc.errors import Stopped


@contextlib.contextmanager
def sigterm_stops(what: str) -> Iterator[None]:
    """Raises Stopped in a block when SIGTERM is received; `what` is its message, such as 'nothing was written'."""

    def stop(number: int, frame: object) -> None:
        raise Stopped(signal.Signals(number), what)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
