"""Suppression of TensorFlow's messages while it is imported."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

LOG_LEVEL_VARIABLE = "TF_CPP_MIN_LOG_LEVEL"
ERRORS_ONLY = "3"


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
