"""What ends a command early: a user's mistake, printed as one sentence with exit status 2, or a signal."""

import signal


class UserError(ValueError):
    """Something the user gave is wrong.

    The message is one sentence: what was wrong, where (file, record or flag), and what to do about it.
    """


class Stopped(Exception):  # noqa: N818 (no error)
    """A signal asked to stop, and everything is saved.

    Attributes:
      signal: the signal.
    """

    def __init__(self, received: signal.Signals, what: str):
        super().__init__(f"stopped by {received.name}; {what}, and the same command continues.")
        self.signal = received
