"""Writes what layers compute for one global batch, on one device and on two replicas of tf.distribute.

    python replica_steps.py FILE.npz

test_batch_norm_sync.py runs it: logical devices must be set before TensorFlow starts.
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from deeplab_dpc.layers.dropout import Dropout
from deeplab_dpc.layers.normalization import BatchNorm

BATCH = 4
SHAPE = (BATCH, 5, 7, 3)


def _inputs() -> tuple[np.ndarray, np.ndarray]:
    """A batch whose halves have very different means, and what its outputs are weighted with."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=SHAPE) + np.array([50.0, -1.0, 0.0])
    x[: BATCH // 2] += 3.0
    return x.astype("float32"), rng.normal(size=SHAPE).astype("float32")


def _layers() -> tuple[BatchNorm, Dropout]:
    norm, dropout = BatchNorm(decay=0.5, epsilon=1e-3), Dropout(0.3, seed=5)
    norm.build(SHAPE)
    norm.gamma.assign([1.0, 2.0, 3.0])
    norm.beta.assign([0.1, 0.2, 0.3])
    return norm, dropout


def _step(norm: BatchNorm, dropout: Dropout, x: tf.Tensor, weights: tf.Tensor) -> dict[str, tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = norm(x, training=True)
        loss = tf.reduce_sum(weights * y * y)
    d_x, d_gamma, d_beta = tape.gradient(loss, [x, norm.gamma.value, norm.beta.value])
    return {
        "output": y,
        "input gradient": d_x,
        "gamma gradient": d_gamma,
        "beta gradient": d_beta,
        "dropout": dropout(tf.ones_like(x), training=True),
    }


def _statistics(norm: BatchNorm) -> dict[str, np.ndarray]:
    return {"moving mean": norm.moving_mean.numpy(), "moving variance": norm.moving_variance.numpy()}


def on_one_device() -> dict[str, np.ndarray]:
    norm, dropout = _layers()
    outputs = tf.function(_step)(norm, dropout, *map(tf.constant, _inputs()))
    return {**{name: value.numpy() for name, value in outputs.items()}, **_statistics(norm)}


def on_two_replicas() -> dict[str, np.ndarray]:
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        norm, dropout = _layers()
    batches = tf.data.Dataset.from_tensor_slices(_inputs()).batch(BATCH)
    run = tf.function(lambda x, weights: strategy.run(_step, args=(norm, dropout, x, weights)))
    outputs = run(*next(iter(strategy.experimental_distribute_dataset(batches))))
    parts = {name: [part.numpy() for part in value.values] for name, value in outputs.items()}
    summed = {"gamma gradient", "beta gradient"}
    joined = {name: sum(values) if name in summed else np.concatenate(values) for name, values in parts.items()}
    return {**joined, **_statistics(norm)}


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    keras.utils.set_random_seed(0)
    np.savez(
        sys.argv[1],
        **{f"one {name}": value for name, value in on_one_device().items()},
        **{f"two {name}": value for name, value in on_two_replicas().items()},
    )
