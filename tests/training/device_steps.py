"""Writes what the same batches make of a small network on one device and on two, with and without accumulation.

    KERAS_BACKEND=... XLA_FLAGS=--xla_force_host_platform_device_count=2 python device_steps.py FILE.npz

test_distribution.py runs it: the number of devices must be set before a backend starts.
"""

import sys

import keras
import numpy as np
import small_network
import tensorflow as tf

from deeplab_dpc.checkpoint.names import named_arrays, named_variables
from deeplab_dpc.config import ModelConfig, TrainConfig
from deeplab_dpc.training.distribution import open_devices
from deeplab_dpc.training.training_model import TrainingModel, build_training_model

IGNORE = 255
NUM_CLASSES = 3
BATCH, NUM_BATCHES = 4, 2
SIZE = 65  # pixels
SHORT, LONG = 4, 20  # steps
# name: devices, pieces, steps, whether batch norm statistics train
RUNS = {
    "one": (1, 1, LONG, True),
    "two": (2, 1, SHORT, True),
    "one, pieces": (1, 2, SHORT, True),
    "two, pieces": (2, 2, SHORT, True),
    "one, frozen": (1, 1, 1, False),
    "one, frozen, pieces": (1, 2, 1, False),
}


def batches() -> tf.data.Dataset:
    """Coloured squares; the second half of a batch has most labelled pixels, so that the halves do not weigh alike."""
    rng = np.random.default_rng(1)
    number = BATCH * NUM_BATCHES
    labels = np.kron(rng.integers(0, NUM_CLASSES, (number, 5, 5)), np.ones((1, 13, 13))).astype("int32")
    images = labels[..., None] * np.array([90.0, 20.0, 60.0]) + rng.uniform(0, 60, (number, SIZE, SIZE, 3))
    labels[::BATCH] = IGNORE
    labels[1::BATCH, 20:] = IGNORE
    return tf.data.Dataset.from_tensor_slices((images.astype("float32"), labels)).batch(BATCH).repeat()


def set_weights(network: keras.Model) -> None:
    """Gives every kernel values that depend on its place and shape alone, on any backend."""
    for i, (name, variable) in enumerate(named_variables(network).items()):
        if name.endswith("weights"):
            fan_in = np.prod(variable.shape[:2] if name.endswith("depthwise_weights") else variable.shape[:-1])
            values = np.random.default_rng(i).uniform(-1, 1, variable.shape) * np.sqrt(4.0 / fan_in)
            variable.assign(values.astype("float32"))


class Values(keras.callbacks.Callback):
    """Keeps the loss and the gradient norm of each step, and the arrays after SHORT steps or at the end."""

    def __init__(self):
        super().__init__()
        self.rows = []
        self.arrays = {}

    def on_train_batch_end(self, batch, logs=None):
        self.rows.append([float(logs["loss"]), float(logs["gradient_norm"])])
        self.model.reset_metrics()
        if len(self.rows) <= SHORT:
            self.arrays = named_arrays(self.model.network)


def train(
    model_config: ModelConfig, num_devices: int, pieces: int, steps: int, trains_statistics: bool
) -> dict[str, np.ndarray]:
    """Trains from the same weights on the same batches; returns what Values keeps."""
    devices = open_devices(num_clones=num_devices)
    config = TrainConfig(
        training_number_of_steps=LONG,
        train_batch_size=BATCH,
        gradient_accumulation_steps=pieces,
        fine_tune_batch_norm=trains_statistics,
        base_learning_rate=0.001,  # Rounding grows tenfold a step with the published 0.01.
    )
    devices.check_batch(config)
    with devices.scope():
        model: TrainingModel = build_training_model(model_config, config, IGNORE)
        set_weights(model.network)
        values = Values()
        model.fit(batches(), steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[values])
    return {"values": np.array(values.rows), **values.arrays}


if __name__ == "__main__":
    if keras.backend.backend() == "tensorflow":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    keras.initializers.TruncatedNormal.__call__ = small_network.ZeroInitializer.__call__
    model_config = small_network.model_config(NUM_CLASSES)
    results = {name: train(model_config, *run) for name, run in RUNS.items()}
    np.savez(sys.argv[1], **{f"{run} {name}": a for run, arrays in results.items() for name, a in arrays.items()})
