"""The allocator of TensorFlow's tensors on a CPU, which is chosen before TensorFlow is imported.

By default, TensorFlow requests memory from the system for each large tensor and returns it right after, so that the
system clears the same pages again at every operation; this can take a third of a training step. TensorFlow's BFC
allocator, which it uses on GPUs, keeps the memory for the next tensor. Measured in benchmarks/cpu_allocator.py.
"""

import os
import resource

from deeplab_dpc.search.service.device_share import visible_gpus

ALLOCATOR_VARIABLE = "TF_CPU_ALLOCATOR_USE_BFC"
LIMIT_VARIABLE = "TF_CPU_BFC_MEM_LIMIT_IN_MB"  # 64 GB if unset, regardless of the memory of the machine


def keep_tensor_memory() -> None:
    """Makes TensorFlow keep the memory of CPU tensors, unless the environment sets the allocator.

    TensorFlow's default is unchanged with a GPU, where CPU memory holds only the input, and under `ulimit -v`, since
    the BFC allocator reserves more address space than it uses.
    """
    limited = resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    if ALLOCATOR_VARIABLE in os.environ or limited or visible_gpus(os.environ):
        return
    os.environ[ALLOCATOR_VARIABLE] = "true"
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    os.environ.setdefault(LIMIT_VARIABLE, str(memory // 2**20))
