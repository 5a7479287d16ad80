"""Seconds and peak memory with TensorFlow's default allocator of CPU tensors and with its BFC allocator.

    python benchmarks/cpu_allocator.py --decoder_output_stride=4 --train_crop_size=321,321 --train_batch_size=8
    python benchmarks/cpu_allocator.py --work=prediction --decoder_output_stride=4 --train_crop_size=513,513

The commands choose the BFC allocator (deeplab_dpc/cli/backend.py). Each measurement is a process of its own, and the
two alternate. The other flags are those of benchmarks/train_step.py.
"""

import functools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from absl import app, flags
from train_step import random_batch, step, training_model

from deeplab_dpc.api.loaded_predictor import network_predictor
from deeplab_dpc.cli.backend import ALLOCATOR_VARIABLE
from deeplab_dpc.config import InferenceConfig
from deeplab_dpc.console import print_table
from deeplab_dpc.training.device_memory import peak_memory

_WORK = flags.DEFINE_enum("work", "training step", ["training step", "prediction"], "What is measured.")
_IS_CHILD = flags.DEFINE_bool("is_child", False, "Whether this process measures, and prints its result as JSON.")

ALLOCATORS = {"default": "false", "BFC": "true"}


def _measured() -> dict[str, float]:
    """Returns the median seconds of a step, or of a prediction of one image, and the peak of the process in GB."""
    model, batch = training_model("float32"), random_batch()
    if _WORK.value == "prediction":
        predictor, images = network_predictor(model.network, InferenceConfig()), batch[0][:1].astype("uint8")
        run: Callable[[], object] = functools.partial(predictor.predict_batch, images)
    else:
        run = step(model, batch)
    for _ in range(2):
        run()  # traces, and fills the allocator's pool
    times = []
    for _ in range(flags.FLAGS.steps):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return {"seconds": statistics.median(times), "gigabytes": peak_memory() / 1e9}


def _by_child(allocator: str) -> dict[str, float]:
    output = subprocess.run(
        [sys.executable, *sys.argv, "--is_child"],
        env={**os.environ, ALLOCATOR_VARIABLE: ALLOCATORS[allocator], "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return json.loads(output.splitlines()[-1])


def main(argv) -> None:
    """Prints the table."""
    del argv
    if _IS_CHILD.value:
        print(json.dumps(_measured()))
        return
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in ALLOCATORS}
    for _ in range(flags.FLAGS.rounds):
        for name, found in runs.items():
            found.append(_by_child(name))
    medians = {
        name: {key: statistics.median(run[key] for run in found) for key in found[0]} for name, found in runs.items()
    }
    base = medians["default"]["seconds"]
    rows = [
        (
            name,
            f"{1000 * median['seconds']:.0f}",
            f"{base / median['seconds']:.2f} x",
            f"{median['gigabytes']:.2f}",
            ", ".join(f"{1000 * run['seconds']:.0f}" for run in runs[name]),
        )
        for name, median in medians.items()
    ]
    title = f"{_WORK.value}, {flags.FLAGS.model_variant}, TensorFlow on a CPU"
    print_table(title, ("allocator", "ms", "speed", "peak, GB", "ms of each process"), rows)


if __name__ == "__main__":
    app.run(main)
