"""Chooses what must be known before Keras and TensorFlow are imported: the backend of Keras by --backend, a flag of
every command, and the allocator of TensorFlow's tensors on a CPU.
"""

import importlib.util
import os
import resource
import sys
from collections.abc import Sequence

from absl import flags

from deeplab_dpc.cli.flag_mistakes import wrong_value
from deeplab_dpc.errors import UserError
from deeplab_dpc.installation import pip_line
from deeplab_dpc.search.service.device_share import visible_gpus

BACKENDS = ("tensorflow", "jax")
VARIABLE = "KERAS_BACKEND"  # of the environment, which Keras reads when it is imported
# The allocator of CPU tensors, also of the environment.
ALLOCATOR_VARIABLE = "TF_CPU_ALLOCATOR_USE_BFC"
LIMIT_VARIABLE = "TF_CPU_BFC_MEM_LIMIT_IN_MB"  # 64 GB if unset, regardless of the memory of the machine


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


def keep_tensor_memory() -> None:
    """Makes TensorFlow keep the memory of CPU tensors, unless the environment sets the allocator.

    By default, TensorFlow requests memory from the system for each large tensor and returns it right after, so that the
    system clears the same pages again at every operation; this can take a third of a training step. TensorFlow's BFC
    allocator, which it uses on GPUs, keeps the memory for the next tensor. Measured in benchmarks/cpu_allocator.py.

    TensorFlow's default is unchanged with a GPU, where CPU memory holds only the input, and under `ulimit -v`, since
    the BFC allocator reserves more address space than it uses.
    """
    limited = resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    if ALLOCATOR_VARIABLE in os.environ or limited or visible_gpus(os.environ):
        return
    os.environ[ALLOCATOR_VARIABLE] = "true"
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    os.environ.setdefault(LIMIT_VARIABLE, str(memory // 2**20))
