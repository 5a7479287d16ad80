"""The handling of standard output that cannot be written, because its reader has closed it (`| head -1`), or the disk
is full.
"""

import io
import os
import select
import sys

GONE = select.POLLERR | select.POLLHUP


def escape_unwritable_text() -> None:
    """Makes the output escape text that its encoding lacks, such as undecodable bytes of file names."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_output() -> None:
    """Flushes the buffer of print, so that an error occurs here and not when Python exits.

    Raises:
      OSError: if standard output cannot be written.
    """
    if sys.stdout is not None:
        sys.stdout.flush()


def reader_has_gone() -> bool:
    """Returns whether standard output is a pipe or a socket whose reader has closed it."""
    try:
        output = sys.stdout.fileno()
    except (AttributeError, io.UnsupportedOperation):  # it is closed, or not a file
        return False
    poll = select.poll()
    poll.register(output, 0)
    return any(event & GONE for _, event in poll.poll(0))


def drop_unwritable_output() -> None:
    """Discards the buffer, and all further output, if standard output does not accept it."""
    try:
        flush_output()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
