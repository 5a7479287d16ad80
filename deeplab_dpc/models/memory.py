"""Memory on a CPU: the memory available to this process, and estimates of what a network takes from its layers' shapes.

The factors are measured on MobileNetV2, Xception and ResNet-v1-beta. They serve to reject work that does not fit into
memory, before the system ends the process without a message.
"""

import contextlib
import math
import pathlib
import resource
from collections.abc import Iterator
from typing import Any

from deeplab_dpc.errors import UserError
from deeplab_dpc.layers import kernels
from deeplab_dpc.system_memory import available_system_memory

FLOAT32_BYTES = 4
# Ratio of the peak of a prediction to the input and output of its largest layer.
INFERENCE_FACTOR = 1.6
# Ratio of the peak of a training step to the outputs of all layers, which are kept for the gradient.
TRAINING_FACTOR = 2.4
# Number of arrays if the probabilities of all pixels are computed at once: logits, exponentials and their mean.
PROBABILITY_COPIES = 3
# Allocators and threads reserve more addresses than they use.
ADDRESSES_PER_BYTE, ADDRESSES_OF_THREADS = 1.5, 300_000_000
# Bytes that a training and a prediction of the smallest network and image take beyond those addresses, from the start
# of the command; and that a training takes once its network is built: threads of the input, and compiled programs.
TRAINING_ADDRESSES, INFERENCE_ADDRESSES = 1_150_000_000, 250_000_000
STEP_ADDRESSES = 600_000_000
_STATM = pathlib.Path("/proc/self/statm")
_CGROUPS = pathlib.Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Returns the bytes that this process can still take: the minimum over the system, its control group and its
    limits, plus the bytes that TensorFlow keeps.

    The result is None if none of them is known, and on an accelerator, where exhausted memory is an error.
    """
    if kernels.free_accelerator_memory() is not None:
        return None
    free = [free for free in (available_system_memory(), free_address_space(), *_control_groups()) if free is not None]
    return min(free) + kernels.kept_memory() if free else None


def require_address_space(needed: int) -> None:
    """Checks that `ulimit -v` leaves enough for the libraries' threads and compiled programs, which any network needs.

    Args:
      needed: required bytes, TRAINING_ADDRESSES or INFERENCE_ADDRESSES; the libraries themselves are already in memory.

    Raises:
      UserError: if the limit leaves less; the process would otherwise end midway without a message.
    """
    left = free_address_space()
    if left is not None and left < needed:
        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        raise UserError(
            f"The address limit of {limit / 1e9:.1f} GB (ulimit -v) is too small for any network: {left / 1e9:.1f} GB "
            f"are left in addition to the libraries, and {needed / 1e9:.1f} GB are needed at least; raise it, or lift "
            "it."
        )


def free_address_space() -> int | None:
    """Returns the bytes that `ulimit -v` leaves; None if there is no limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY or not _STATM.exists():
        return None
    left = limit - int(_STATM.read_text().split()[0]) * resource.getpagesize() - ADDRESSES_OF_THREADS
    return max(0, round(left / ADDRESSES_PER_BYTE))


def _control_groups() -> Iterator[int]:
    """Yields the memory limits of containers: of version 2 for the process's group and those above it, or of version
    1.
    """
    own = pathlib.Path("/proc/self/cgroup")
    path = own.read_text().rpartition("0::/")[2].strip() if own.exists() else ""
    group = _CGROUPS / path
    for folder in (group, *group.parents):
        yield from _group(folder / "memory.max", folder / "memory.current", folder / "memory.stat", "inactive_file")
        if folder == _CGROUPS:
            break
    first = _CGROUPS / "memory"
    yield from _group(
        first / "memory.limit_in_bytes", first / "memory.usage_in_bytes", first / "memory.stat", "total_inactive_file"
    )


def _group(limit: pathlib.Path, used: pathlib.Path, stat: pathlib.Path, reclaimable: str) -> Iterator[int]:
    with contextlib.suppress(OSError):  # there is no such group, or it cannot be read
        text = limit.read_text().strip()
        if text.isdecimal():
            fields = dict(line.split() for line in stat.read_text().splitlines())
            yield max(0, int(text) - int(used.read_text()) + int(fields.get(reclaimable, 0)))


def layer_sizes(network: Any, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Returns the numbers of values that each layer of a network reads and writes for one image.

    Args:
      network: a Segmenter.
      size: (height, width) in pixels.
    """
    sizes: list[tuple[int, int]] = []
    waiting = [(network, (1, *size, 3))]
    while waiting:
        layer, shape = waiting.pop()
        if hasattr(layer, "steps"):
            waiting += layer.steps(shape)
        else:
            sizes.append((_values(shape), _values(layer.compute_output_shape(shape))))
    return sizes


def _values(shape: Any) -> int:
    """Returns the number of values in a tensor's shape, or in the shapes of several tensors."""
    if shape and isinstance(shape[0], (tuple, list)):
        return sum(map(_values, shape))
    return math.prod(side for side in shape if side is not None)


def training_memory(
    network: Any, size: tuple[int, int], batch_size: int, value_bytes: int = FLOAT32_BYTES, frozen: Any = None
) -> int:
    """Returns an estimate of the bytes that a training step takes in addition to the weights.

    Args:
      network: a Segmenter.
      size: (height, width) of the crops in pixels.
      batch_size: number of images in a batch.
      value_bytes: bytes per value of an activation.
      frozen: frozen part at the beginning of the network, whose activations are not kept; None for none.
    """
    written = sum(written for _, written in layer_sizes(network, size))
    if frozen is not None:
        written -= sum(written for _, written in layer_sizes(frozen, size))
    return round(_factor(TRAINING_FACTOR) * value_bytes * batch_size * written)


def _factor(measured: float) -> float:
    """Returns a factor that was measured on TensorFlow; under XLA, which fuses layers and keeps less, it is smaller."""
    return measured / 2 if kernels.JIT_COMPILE else measured


def inference_memory(network: Any, size: tuple[int, int], num_probabilities: int = 0) -> int:
    """Returns an estimate of the bytes that the prediction of one image takes.

    Args:
      network: a Segmenter.
      size: (height, width) of the network's input in pixels.
      num_probabilities: number of pixels whose probabilities are in memory at once.
    """
    largest = max(read + written for read, written in layer_sizes(network, size))
    probabilities = PROBABILITY_COPIES * num_probabilities * network.config.num_classes
    needed: int = round(FLOAT32_BYTES * max(_factor(INFERENCE_FACTOR) * largest, probabilities))
    return needed
