"""The memory of the device that computes: how much is used and free, and the error if it is not enough."""

import contextlib
import pathlib
import resource
import sys
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from deeplab_dpc.config import AutoDeepLabConfig, TrainConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.layers import kernels
from deeplab_dpc.models.memory import STEP_ADDRESSES, available_memory, free_address_space, training_memory


@contextlib.contextmanager
def exhausted_memory_said(sentence: str) -> Iterator[None]:
    """Turns the backends' errors for exhausted memory into a UserError with the message `sentence`."""
    try:
        yield
    except kernels.MEMORY_ERRORS as error:
        if not kernels.is_out_of_memory(error):
            raise
        raise UserError(sentence) from error


def exhausted_memory_named(
    config: TrainConfig, crop_size: tuple[int, int], devices: int = 1
) -> contextlib.AbstractContextManager[None]:
    """Returns a context that turns such errors into a UserError, which names flags of a training that need less memory.

    Args:
      config: configuration of the training.
      crop_size: (height, width) in pixels.
      devices: number of devices of all processes together, which share a batch.
    """
    less = _what_needs_less(config, crop_size, devices)
    return exhausted_memory_said(f"The memory of the device is not enough {less}")


def exhausted_search_memory_named(
    config: AutoDeepLabConfig, crop_size: tuple[int, int]
) -> contextlib.AbstractContextManager[None]:
    """Returns the same context, but with flags of a search by gradients that need less memory.

    Args:
      config: configuration of the search.
      crop_size: (height, width) in pixels.
    """
    less = [] if config.rematerialize else ["--rematerialize"]
    less += [] if config.supernet_precision == "bfloat16" else ["--supernet_precision=bfloat16"]
    less += ["a smaller --search_batch_size"] if config.search_batch_size > 1 else []
    return exhausted_memory_said(
        f"The memory of the device is not enough for {config.search_batch_size} image(s) of "
        f"{crop_size[0]} x {crop_size[1]}, or of the evaluated size; options that need less: "
        f"{', '.join([*less, 'a smaller --train_crop_size', 'smaller images (--min_resize_value)'])}."
    )


def require_memory(network: Any, config: TrainConfig, crop_size: tuple[int, int], devices: int = 1) -> None:
    """Checks that a step fits into the memory of a CPU's process, since the system would otherwise end it.

    Args:
      network: a Segmenter.
      config: configuration of the training.
      crop_size: (height, width) in pixels.
      devices: number of devices of all processes together, which share a batch.

    Raises:
      UserError: if the estimate does not fit.
    """
    available, addresses = available_memory(), free_address_space()
    if available is not None and addresses is not None:
        available = min(available, max(0, addresses - STEP_ADDRESSES))
    at_a_time = -(-config.train_batch_size // (config.gradient_accumulation_steps * devices))
    value_bytes = 4 if config.precision == "float32" else 2
    frozen = network.backbone if config.freeze_backbone else None
    needed = training_memory(network, crop_size, at_a_time, value_bytes, frozen)
    if available is not None and needed > available:
        raise UserError(
            f"The memory ({available / 1e9:.1f} GB are free, about {needed / 1e9:.1f} GB are needed) is not enough "
            f"{_what_needs_less(config, crop_size, devices)}"
        )


def _what_needs_less(config: TrainConfig, crop_size: tuple[int, int], devices: int) -> str:
    batch, parts = config.train_batch_size // devices, config.gradient_accumulation_steps
    less = [] if config.precision == "bfloat16" else ["--precision=bfloat16"]
    less += [f"--gradient_accumulation_steps={n}" for n in range(parts + 1, batch + 1) if batch % n == 0][:1]
    return (
        f"for {batch // parts} image(s) of {crop_size[0]} x {crop_size[1]} at a time; options that need "
        f"less: {', '.join([*less, 'a smaller --train_crop_size', 'more devices'])}."
    )


def peak_memory() -> int:
    """Returns the peak memory in bytes: of the first accelerator, or of the process if the CPU computes."""
    accelerator = _accelerator_peak()
    if accelerator is not None:
        return accelerator
    status = pathlib.Path("/proc/self/status")
    if status.exists():  # Linux, where getrusage reports at least the peak of the parent process
        return _kilobytes(status, "VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def free_memory() -> int | None:
    """Returns the bytes that the CPU's process can still take before the system would end it.

    The result is None if the system does not report it, and on an accelerator, where exhausted memory is an error.
    """
    return available_memory()


def _kilobytes(path: pathlib.Path, field: str) -> int:
    """Returns a field of a proc file in bytes; the file gives it in kilobytes."""
    fields = dict(line.split(":", 1) for line in path.read_text().splitlines())
    return 1024 * int(fields[field].split()[0])


def _accelerator_peak() -> int | None:
    if keras.backend.backend() == "jax":
        import jax

        return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    if tf.config.list_logical_devices("GPU"):
        peak: int = tf.config.experimental.get_memory_info("GPU:0")["peak"]
        return peak
    return None
