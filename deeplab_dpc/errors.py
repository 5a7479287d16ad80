"""The errors that end a command early: a user's mistake, printed as one sentence with exit status 2, or a signal."""

import re
import signal
from collections.abc import Sequence
from typing import Any

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SHOWN = 100  # characters


class UserError(ValueError):
    """An error that is caused by a user's mistake.

    The message is one sentence: what is wrong, where (file, record or flag), and what to do about it. Line ends and
    other control characters, which names of files and classes may contain, are written as escapes.
    """

    def __init__(self, message: str):
        super().__init__(_CONTROL.sub(lambda found: repr(found[0])[1:-1], message))


def shown(value: Any) -> str:
    """Returns the representation of a value for an error message; only its beginning if it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def first_few(values: Sequence[object], count: int) -> str:
    """Returns the first values as text, with commas between them; ", ..." follows if there are more than `count`."""
    return ", ".join(map(str, values[:count])) + (", ..." if len(values) > count else "")


class Stopped(Exception):  # noqa: N818 (no error)
    """An exception that is raised for a signal to stop, after everything is saved.

    Attributes:
      signal: signal that was received.
    """

    def __init__(self, received: signal.Signals, what: str):
        super().__init__(f"stopped by {received.name}; {what}, and the same command continues.")
        self.signal = received
