"""Standard output that can no longer be written: its reader has gone (`| head -1`), or its disk is full."""

import io
import os
import select
import sys

GONE = select.POLLERR | select.POLLHUP


def escape_unwritable_text() -> None:
    """Lets the output have what its encoding has not, such as bytes of file names that are no text, as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_output() -> None:
    """Writes what print holds back, so that a failure is met here and not while Python ends.

    Raises:
      OSError: if it cannot be written.
    """
    if sys.stdout is not None:
        sys.stdout.flush()


def reader_has_gone() -> bool:
    """Returns whether standard output is a pipe or a socket that nobody reads any more."""
    try:
        output = sys.stdout.fileno()
    except (AttributeError, io.UnsupportedOperation):  # it is closed, or not a file
        return False
    poll = select.poll()
    poll.register(output, 0)
    return any(event & GONE for _, event in poll.poll(0))


def drop_unwritable_output() -> None:
    """Drops what is held back, and all that follows, where standard output does not take it."""
    try:
        flush_output()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
