"""The --backend flag, which every command has; it takes effect before Keras is imported, and so before flags are
defined.
"""

import importlib.util
import os
import sys
from collections.abc import Sequence

from absl import flags

from deeplab_dpc.cli.flag_values import wrong_value
from deeplab_dpc.errors import UserError
from deeplab_dpc.installation import pip_line

BACKENDS = ("tensorflow", "jax")
VARIABLE = "KERAS_BACKEND"  # of the environment, which Keras reads when it is imported


def define_backend_flag(values: flags.FlagValues) -> None:
    """Defines --backend."""
    flags.DEFINE_enum(
        "backend",
        None,
        BACKENDS,
        f"Backend of Keras; by default {VARIABLE} of the environment, ~/.keras/keras.json or tensorflow.",
        flag_values=values,
    )


def choose_backend(argv: Sequence[str]) -> None:
    """Makes Keras use the backend that the arguments name, if they name one.

    Args:
      argv: flags of a command, including those of its flagfiles; only --backend is read.

    Raises:
      UserError: if the backend is unknown or not installed, or Keras is already imported with another one.
    """
    values = flags.FlagValues()
    values.set_gnu_getopt(True)  # Values of other flags, which may be arguments of their own, do not end the search.
    define_backend_flag(values)
    try:
        values(["", *argv], known_only=True)
    except flags.Error as error:
        raise UserError(f"{wrong_value(error, values)} See --help.") from error
    backend = values.backend or os.environ.get(VARIABLE)
    if not backend:
        return
    source = f"--backend={backend}" if values.backend else f"{VARIABLE}={backend}"
    if backend not in BACKENDS:
        raise UserError(f"{source} must be one of {', '.join(BACKENDS)}.")
    keras = sys.modules.get("keras")
    if keras is not None:
        running = keras.backend.backend()
        if values.backend and backend != running:
            raise UserError(f"{source} needs a process of its own: Keras runs on {running} in this one.")
        return
    if importlib.util.find_spec(backend) is None:
        raise UserError(f"{source} is not installed; {pip_line('jax' if backend == 'jax' else 'cpu')}.")
    os.environ[VARIABLE] = backend
