"""A dry run: one batch forward and backward, its memory and time, and an estimate for the whole training."""

import dataclasses
import pathlib
import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from deeplab_dpc.config import TrainConfig
from deeplab_dpc.training.device_memory import free_memory, peak_memory
from deeplab_dpc.training.training_model import TrainingModel

WARM_STEPS, TIMED_STEPS = 2, 5  # the first step compiles, and the second still allocates
MARGIN = 0.9  # largest share of the free memory that the estimate for a batch may reach

BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")  # of x86, and the last one of ARM

Batch = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Rehearsal:
    """The result of a dry run.

    Attributes:
      batch_size: number of images in the timed steps; 1 if the whole batch would not fit.
      values: loss, its parts and the gradient norm of the first step.
      seconds_per_step: median over a few steps, without the compilation.
      input_seconds_per_batch: seconds that the input pipeline takes for a batch.
      total_seconds: estimate for the whole training, without evaluations.
      peak_memory: peak memory of a batch in bytes, of the process, or of the accelerator if there is one.
      memory_needed: estimate for the batch in bytes; equal to the peak if the whole batch was run.
      memory_available: bytes that were free, or None on an accelerator and if the system does not report it.
    """

    batch_size: int
    values: dict[str, float]
    seconds_per_step: float
    input_seconds_per_batch: float
    total_seconds: float
    peak_memory: int
    memory_needed: int
    memory_available: int | None

    @property
    def fits(self) -> bool:
        """Returns whether the whole batch was run."""
        return self.memory_needed <= self.peak_memory

    def to_json(self) -> dict[str, Any]:
        """Returns the values for --json."""
        return {**dataclasses.asdict(self), "fits": self.fits}


def rehearse(model: TrainingModel, batches: Iterator[Batch], config: TrainConfig) -> Rehearsal:
    """Trains a few steps on the first batches; the model's weights change.

    A single image is run first. If the estimate for the whole batch (or for the part of it that is processed at a time)
    exceeds the free memory, the batch is not run, since the system would end the process.

    Args:
      model: model to be trained.
      batches: batches of images float32 [batch, height, width, 3] and labels int32 [batch, height, width].
      config: configuration of the training.
    """
    next(batches)
    start = time.perf_counter()
    images, labels = next(batches)
    input_seconds = time.perf_counter() - start
    available, before = free_memory(), peak_memory()
    # One image for each piece of the batch, since the pieces are not in memory at the same time.
    few = model.num_pieces
    at_a_time = config.train_batch_size // few
    single, values = _timed_steps(model, (images[:few], labels[:few]), 1 if at_a_time > 1 else TIMED_STEPS)
    rise = peak_memory() - before
    needed = before + rise * at_a_time
    if at_a_time == 1:
        seconds, batch_size = single, config.train_batch_size
    elif available is not None and rise * (at_a_time - 1) > MARGIN * available:
        seconds, batch_size = single * at_a_time, few
    else:
        seconds, values = _timed_steps(model, (images, labels), TIMED_STEPS)
        batch_size, needed = config.train_batch_size, peak_memory()
    total = config.planned_steps * max(seconds, input_seconds)
    return Rehearsal(batch_size, values, seconds, input_seconds, total, peak_memory(), needed, available)


def has_bfloat16(cpuinfo: pathlib.Path = pathlib.Path("/proc/cpuinfo")) -> bool:
    """Returns whether the CPU computes in bfloat16, by the flags that Linux lists; without the list, False.

    Other CPUs convert each value to float32 and back, which is slower than float32.
    """
    if not cpuinfo.is_file():
        return False
    flags = set(cpuinfo.read_text(encoding="utf-8", errors="replace").split())
    return not flags.isdisjoint(BFLOAT16_FLAGS)


def _timed_steps(model: TrainingModel, batch: Batch, count: int) -> tuple[float, dict[str, float]]:
    """Returns the median seconds of `count` steps after the first ones, and the values of the first step."""
    model.reset_metrics()
    values = {name: float(value) for name, value in model.train_on_batch(*batch, return_dict=True).items()}
    seconds = []
    for _ in range(WARM_STEPS - 1 + count):
        start = time.perf_counter()
        float(model.train_on_batch(*batch, return_dict=True)["loss"])
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[WARM_STEPS - 1 :]), values
