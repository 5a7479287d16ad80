"""Seconds of a training step by precision, with our batch norm and with Keras' own, alternating, in one run.

    python benchmarks/train_step.py --train_crop_size=321,321 --train_batch_size=4
    python benchmarks/train_step.py --data_dir=D --dense_prediction_cell_json=dpc_top1 --train_crop_size=513,513
    KERAS_BACKEND=jax python benchmarks/train_step.py

Then, for the first way: where the time goes (forward, backward, update; with --data_dir also the wait for the input of
a training that reads records). The last line is the peak memory of the process, to be read with --ways=float32
--nobreakdown. The images are random, which costs the same. The flags of the network are those of train.py.
"""

import contextlib
import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable, Iterator

import keras
import numpy as np
from absl import app, flags
from stock_batch_norm import stock_batch_norm

from deeplab_dpc.cli.flags.base import ConfigFields, FlagGroup, define_flags, fields_of, read_flags
from deeplab_dpc.cli.flags.shared import DataFlags, NetworkFlags
from deeplab_dpc.config import TrainConfig
from deeplab_dpc.console import console, print_table
from deeplab_dpc.training.device_memory import peak_memory
from deeplab_dpc.training.training_model import TrainingModel, build_training_model


@dataclasses.dataclass(frozen=True, kw_only=True)
class _StepFlags(FlagGroup):
    """The flags of the network, its training and its data."""

    network: NetworkFlags
    training: ConfigFields[TrainConfig] = fields_of(
        TrainConfig,
        title="Training",
        only=["train_batch_size", "gradient_accumulation_steps", "optimizer", "freeze_backbone"],
    )
    data: DataFlags


define_flags(_StepFlags, flags.FLAGS)
_NUM_CLASSES = flags.DEFINE_integer("num_classes", 21, "Channels of the logits, without --data_dir.")
_WAYS = flags.DEFINE_list(
    "ways", ["float32", "Keras batch norm", "bfloat16"], "Precisions, and `Keras batch norm` (TensorFlow, float32)."
)
_STEPS = flags.DEFINE_integer("steps", 5, "Steps of a round.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Alternations; the median of all steps counts.")
_BREAKDOWN = flags.DEFINE_bool("breakdown", True, "Whether to say where the time goes.")

STOCK = "Keras batch norm"
IGNORE_LABEL = 255
Batch = tuple[np.ndarray, np.ndarray]


class _NoUpdate(keras.optimizers.Optimizer):
    """An optimizer that takes gradients and does not change the variables."""

    def update_step(self, gradient, variable, learning_rate):
        pass


class _Forward(keras.Model):
    """The forward pass of a training step, without gradients."""

    def __init__(self, network):
        super().__init__(name="forward")
        self.network = network
        self.built = True

    def call(self, images):
        return self.network(images, training=True)


def training_model(way: str) -> TrainingModel:
    model_config = _given().network.config(_num_classes())
    precision = "float32" if way == STOCK else way
    config = _given().training.make(precision=precision)
    with stock_batch_norm() if way == STOCK else contextlib.nullcontext():
        return build_training_model(model_config, config, IGNORE_LABEL)


def _given() -> _StepFlags:
    return read_flags(_StepFlags, flags.FLAGS)


def _num_classes() -> int:
    data = _given().data
    return data.found().info.num_classes if data.data_dir else _NUM_CLASSES.value


def random_batch() -> Batch:
    rng = np.random.default_rng(0)
    size = (flags.FLAGS.train_batch_size, *(_given().data.train_crop_size or (321, 321)))
    return rng.uniform(0, 255, (*size, 3)).astype("float32"), rng.integers(0, _num_classes(), size).astype("int32")


def _records() -> Iterator[Batch]:
    """Yields batches as training reads them."""
    from deeplab_dpc.data.pipeline import training_dataset
    from deeplab_dpc.data.preprocess import Augmentation

    dataset = _given().data.found()
    data = _given().data.config(dataset, flags.FLAGS.output_stride)
    batches = training_dataset(
        dataset,
        data.train_split,
        Augmentation.from_config(data),
        batch_size=flags.FLAGS.train_batch_size,
        seed=0,
        cache=data.cache,
    )
    return batches.as_numpy_iterator()


def _seconds(run: Callable[[], object], count: int) -> list[float]:
    times = []
    for _ in range(count):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


def step(model: TrainingModel, batch: Batch) -> Callable[[], object]:
    return lambda: float(model.train_on_batch(*batch, return_dict=True)["loss"])


def _breakdown(model: TrainingModel, batch: Batch) -> list[tuple[str, float]]:
    forward = _Forward(model.network)
    forward.jit_compile = model.jit_compile
    gradients = training_model(_WAYS.value[0])
    optimizer = _NoUpdate(0.0, name="no_update")
    optimizer.build(gradients.network.trainable_variables)
    gradients.compile(optimizer=optimizer, jit_compile=model.jit_compile)
    runs = [lambda: forward.predict_on_batch(batch[0]), step(gradients, batch), step(model, batch)]
    times: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()
    for _ in range(_ROUNDS.value):
        for run, measured in zip(runs, times, strict=True):
            measured.extend(_seconds(run, _STEPS.value))
    medians = [statistics.median(measured) for measured in times]
    return [
        ("forward", medians[0]),
        ("loss and backward", medians[1] - medians[0]),
        ("update", medians[2] - medians[1]),
        ("whole step", medians[2]),
    ]


def _input_wait(model: TrainingModel) -> tuple[float, float]:
    """Returns (median wait for a batch, median step) of a training that reads records."""
    waits, steps = [], []
    batches = _records()
    for batch in itertools.islice(batches, 3):
        model.train_on_batch(*batch)
    for _ in range(_ROUNDS.value * _STEPS.value):
        start = time.perf_counter()
        batch = next(batches)
        waits.append(time.perf_counter() - start)
        steps += _seconds(step(model, batch), 1)
    return statistics.median(waits), statistics.median(steps)


def main(argv) -> None:
    """Prints the tables."""
    ways = [way for way in _WAYS.value if way != STOCK or keras.backend.backend() == "tensorflow"]
    batch = random_batch()
    models = {way: training_model(way) for way in ways}
    for model in models.values():
        step(model, batch)()  # traces and compiles
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(_ROUNDS.value):
        for way, model in models.items():
            times[way] += _seconds(step(model, batch), _STEPS.value)
    medians = {way: statistics.median(measured) for way, measured in times.items()}
    size = f"{batch[0].shape[1]} x {batch[0].shape[2]}, batch {len(batch[0])}"
    title = f"{flags.FLAGS.model_variant}, {size}, {keras.backend.backend()}"
    rows = [
        (way, f"{1000 * median:.0f}", f"{len(batch[0]) / median:.2f}", f"{median / medians[ways[0]]:.2f} x")
        for way, median in medians.items()
    ]
    print_table(title, ("way", "ms a step", "images a second", f"time of {ways[0]}"), rows)
    if _BREAKDOWN.value:
        parts = [(name, f"{1000 * seconds:.0f}") for name, seconds in _breakdown(models[ways[0]], batch)]
        if flags.FLAGS.data_dir:
            wait, whole = _input_wait(models[ways[0]])
            parts += [("reading records: wait for input", f"{1000 * wait:.1f}"), ("  step", f"{1000 * whole:.0f}")]
        print_table(ways[0], ("part", "ms"), parts)
    console.print(f"Peak memory: {peak_memory() / 1e9:.2f} GB")


if __name__ == "__main__":
    app.run(main)
