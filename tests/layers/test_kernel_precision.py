"""The kernels in half precision: forward and gradient are those of float32 up to rounding."""

import keras
import numpy as np
import pytest
from keras import ops

from deeplab_dpc.layers import kernels, pooling

ROUNDING = {"bfloat16": 2.0**-8, "float16": 2.0**-11}  # half a unit in the last place, relative
SHAPE = (2, 9, 11, 4)


def _statistics(x):
    return ops.ones(4), ops.zeros(4), ops.cast(ops.mean(x, axis=(0, 1, 2)), "float32"), 2.0 * ops.ones(4)


def _kernel(channels_out):
    return np.random.default_rng(1).uniform(-0.5, 0.5, (3, 3, 4, channels_out)).astype("float32")


KERNELS = {
    "batch_norm_training": lambda x: kernels.batch_norm_training(x, ops.ones(4), ops.zeros(4), 1e-3)[0],
    "batch_norm_inference": lambda x: kernels.batch_norm_inference(x, *_statistics(x), 1e-3),
    "depthwise_conv": lambda x: kernels.depthwise_conv(x, ops.cast(_kernel(1), x.dtype)),
    "strided_depthwise_conv": lambda x: kernels.depthwise_conv(x, ops.cast(_kernel(1), x.dtype), 2),
    "atrous_depthwise_conv": lambda x: kernels.depthwise_conv(x, ops.cast(_kernel(1), x.dtype), 1, (2, 5)),
    "conv": lambda x: ops.conv(x, ops.cast(_kernel(6), x.dtype), padding="same"),
    "atrous_conv": lambda x: ops.conv(x, ops.cast(_kernel(6), x.dtype), padding="same", dilation_rate=(2, 3)),
    "resize": lambda x: kernels.resize_align_corners(x, 17, 5),
    "grid_pool": lambda x: pooling.grid_pool(x, (2, 3)),
    "window_pool": lambda x: pooling.window_pool(x, (5, 4), (2, 1)),
}


def _output_and_gradient(kernel, x, dtype):
    """Of a weighted sum of squares with respect to x, in float32."""
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the gradient is taken with TensorFlow")

    def run(values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            y = kernel(values)
            weights = np.random.default_rng(2).uniform(0.0, 1.0, y.shape).astype("float32")
            loss = tf.reduce_sum(weights * tf.cast(y, "float32") ** 2)
        return y, tape.gradient(loss, values)

    results = {mode: step(tf.constant(x, dtype)) for mode, step in (("eager", run), ("graph", tf.function(run)))}
    for y, gradient in results.values():
        assert y.dtype == gradient.dtype == dtype
    return {mode: [tf.cast(value, "float32").numpy() for value in values] for mode, values in results.items()}


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("name", KERNELS)
def test_kernel_in_half_precision_is_near_float32(name, dtype):
    x = np.random.default_rng(0).normal(0.5, 1.0, SHAPE)
    x = ops.convert_to_numpy(ops.cast(ops.cast(x, dtype), "float32"))  # the same numbers for both
    expected = _output_and_gradient(KERNELS[name], x, "float32")["eager"]
    for values in _output_and_gradient(KERNELS[name], x, dtype).values():
        for value, reference in zip(values, expected, strict=True):
            np.testing.assert_allclose(value, reference, atol=4 * ROUNDING[dtype] * np.abs(reference).max())


def test_batch_norm_statistics_are_float32_in_half_precision():
    # In bfloat16 64.25 would be 64, and the sums would stop growing.
    x = ops.cast(np.tile([64.0, 64.5], 5000).reshape(1, 100, 100, 1), "bfloat16")
    _, mean, variance = kernels.batch_norm_training(x, ops.ones(1), ops.zeros(1), 1e-3)
    assert keras.backend.standardize_dtype(mean.dtype) == keras.backend.standardize_dtype(variance.dtype) == "float32"
    np.testing.assert_allclose(ops.convert_to_numpy(mean), [64.25], rtol=1e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(variance), [0.0625 * 10000 / 9999], rtol=1e-3)


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: pooling.ImageWindow(None, (1, 1)).pool(x),
        lambda x: pooling.grid_pool(x, (1, 1)),
        lambda x: pooling.window_pool(x, (129, 257), (1, 1)),
    ],
)
@pytest.mark.parametrize("dtype", ROUNDING)
def test_means_over_many_pixels_are_summed_in_float32(rng, pool, dtype):
    x = ops.cast(rng.uniform(0.0, 6.0, (1, 129, 257, 2)), dtype)
    expected = ops.convert_to_numpy(ops.cast(x, "float32")).astype("float64").mean(axis=(1, 2), keepdims=True)
    mean = pool(x)
    assert keras.backend.standardize_dtype(mean.dtype) == dtype
    np.testing.assert_allclose(ops.convert_to_numpy(ops.cast(mean, "float32")), expected, rtol=1.01 * ROUNDING[dtype])
