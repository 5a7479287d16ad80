"""The share of a machine for each of its workers, as environment variables.

TensorFlow on a CPU reads TF_NUM_INTRAOP_THREADS and TF_NUM_INTEROP_THREADS, and XLA, which JAX uses, reads NPROC;
OMP_NUM_THREADS is for NumPy's linear algebra.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

THREAD_VARIABLES = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "NPROC", "OMP_NUM_THREADS")
DEVICES_VARIABLE = "CUDA_VISIBLE_DEVICES"
# So that several processes on one GPU do not each take all of its memory.
SHARED_MEMORY = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def share(index: int, count: int, cores: int, gpus: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment variables of one worker.

    Args:
      index: index of the worker, from 0.
      count: number of workers.
      cores: number of cores that they share.
      gpus: names of the machine's GPUs, as in CUDA_VISIBLE_DEVICES; each worker gets one in turn.
      given: existing environment; its numbers of threads and memory settings are kept.
    """
    wanted = dict.fromkeys(THREAD_VARIABLES, str(max(1, cores // count)))
    if gpus and count > len(gpus):
        wanted |= SHARED_MEMORY
    found = {name: value for name, value in wanted.items() if name not in given}
    if gpus:
        found[DEVICES_VARIABLE] = gpus[index % len(gpus)]
    return found


def num_cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus(given: Mapping[str, str]) -> list[str]:
    """Returns the GPUs that the environment lets this process use, without opening one; none without nvidia-smi."""
    if DEVICES_VARIABLE in given:
        return [name for name in given[DEVICES_VARIABLE].split(",") if name and name != "-1"]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    asked = [program, "--query-gpu=uuid", "--format=csv,noheader"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    # With a driver but without a GPU, nvidia-smi prints a message and fails.
    return answer.stdout.split() if answer.returncode == 0 else []
