"""The output of the process: standard output that cannot be written, because its reader has closed it (`| head -1`), or
the disk is full; and the suppression of TensorFlow's messages while it is imported.
"""

import contextlib
import io
import os
import select
import sys
import tempfile
from collections.abc import Iterator

GONE = select.POLLERR | select.POLLHUP
LOG_LEVEL_VARIABLE = "TF_CPP_MIN_LOG_LEVEL"
ERRORS_ONLY = "3"


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


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """Suppresses the messages of TensorFlow's C++ code on stderr while it loads; they are shown if loading fails.

    That code does not yet respect its log level at that time. The suppression is off if the user has set another level,
    or if stderr is closed.
    """
    if os.environ.setdefault(LOG_LEVEL_VARIABLE, ERRORS_ONLY) != ERRORS_ONLY or sys.stderr is None:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
