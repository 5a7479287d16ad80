"""The depthwise convolution of any rate against matrices that shift rows and columns, in NumPy."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from deeplab_dpc.arch.operations.atrous_conv import RATES
from deeplab_dpc.layers import depthwise

JAX = keras.backend.backend() == "jax"
if JAX:
    import jax
else:
    tf = pytest.importorskip("tensorflow")


def _gradients(x, kernel, rate, upstream):
    """The output and the gradients of features and kernel."""
    if JAX:
        y, pull = jax.vjp(lambda x, kernel: depthwise.any_rate(x, kernel, rate), x, kernel)
        return y, *pull(upstream)
    with tf.GradientTape() as tape:
        tape.watch([x, kernel])
        y = depthwise.any_rate(x, kernel, rate)
    return y, *tape.gradient(y, [x, kernel], upstream)


def _compiled():
    return jax.jit(_gradients) if JAX else tf.function(_gradients)


def _programs(compiled):
    return compiled._cache_size() if JAX else compiled.experimental_get_tracing_count()


def _expected(x, kernel, rate, upstream):
    """The same three by matrices: row r of `rows[i]` takes row r + (i - centre) * rate, or zero outside."""
    rows, columns = (
        [np.eye(size, k=(tap - taps // 2) * step) for tap in range(taps)]
        for size, taps, step in zip(x.shape[1:3], kernel.shape[:2], rate, strict=True)
    )
    x, upstream = (np.moveaxis(values, 3, 1).astype("float64") for values in (x, upstream))  # [batch, c, h, w]
    y, by_x, by_kernel = np.zeros_like(x), np.zeros_like(x), np.zeros(kernel.shape)
    for i, j in itertools.product(range(len(rows)), range(len(columns))):
        weights = kernel[i, j]  # [c, 1]
        shifted = rows[i] @ x @ columns[j].T
        y += weights[..., None] * shifted
        by_x += weights[..., None] * (rows[i].T @ upstream @ columns[j])
        by_kernel[i, j, :, 0] = (shifted * upstream).sum((0, 2, 3))
    return np.moveaxis(y, 1, 3), np.moveaxis(by_x, 1, 3), by_kernel


def _arrays(rng, height, width, taps=(3, 3)):
    x, upstream = rng.normal(size=(2, 2, height, width, 2)).astype("float32")
    return x, rng.normal(size=(*taps, 2, 1)).astype("float32"), upstream


def _check(compiled, x, kernel, rate, upstream):
    tensors = [ops.convert_to_tensor(value) for value in (x, kernel, np.array(rate, "int32"), upstream)]
    for value, expected in zip(compiled(*tensors), _expected(x, kernel, rate, upstream), strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(value), expected, atol=1e-4)


def test_one_program_takes_all_rates(rng):
    arrays = _arrays(rng, 23, 25)  # the largest rate reaches inside
    compiled = _compiled()
    for rate in itertools.product(RATES, RATES):
        _check(compiled, arrays[0], arrays[1], rate, arrays[2])
    assert _programs(compiled) == 1


@pytest.mark.parametrize("size", [(1, 1), (6, 3)])
def test_rates_may_exceed_the_size(rng, size):
    x, kernel, upstream = _arrays(rng, *size)
    compiled = _compiled()
    for rate in ((1, 1), (1, 6), (3, 2), (21, 1), (21, 21)):
        _check(compiled, x, kernel, rate, upstream)


def test_kernels_of_other_sizes(rng):
    x, kernel, upstream = _arrays(rng, 7, 9, (5, 1))
    _check(_compiled(), x, kernel, (2, 3), upstream)


def test_even_kernels_are_refused():
    with pytest.raises(ValueError, match=r"must be odd, got \(3, 2\)"):
        depthwise.any_rate(ops.ones((1, 4, 4, 1)), ops.ones((3, 2, 1, 1)), [1, 1])


def test_half_precision_is_summed_in_float32():
    """In bfloat16 256 + 1/2 would be 256, and a sum of halves would stop growing at 128."""
    x = np.full((1, 40, 50, 1), 0.5, "float32")
    x[0, 20, 25] = 256.0
    x, ones = (ops.cast(value, "bfloat16") for value in (x, np.ones_like(x)))
    rate = ops.convert_to_tensor([2, 5], dtype="int32")
    y, by_x, by_kernel = _compiled()(x, ops.ones((3, 3, 1, 1)), rate, ones)
    assert [keras.backend.standardize_dtype(value.dtype) for value in (y, by_x)] == ["bfloat16", "bfloat16"]
    assert keras.backend.standardize_dtype(by_kernel.dtype) == "float32"
    assert float(y[0, 20, 25, 0]) == 256.0 + 8 * 0.5
    pixels = np.outer([38, 40, 38], [45, 50, 45])  # that a tap reads
    np.testing.assert_array_equal(ops.convert_to_numpy(by_kernel)[:, :, 0, 0], 0.5 * pixels + 255.5)


@pytest.mark.skipif(JAX, reason="is about TensorFlow's control flow")
def test_gradient_through_a_switch_in_a_loop(rng):
    """A branch chosen at run time, in a loop of two turns: the gradients are those of the written-out steps."""
    x, kernel, _ = _arrays(rng, 6, 5)

    @tf.function
    def looped(x, kernel, rate, choice):
        def step(value):
            return tf.switch_case(choice, [lambda: 2.0 * value, lambda: depthwise.any_rate(value, kernel, rate)])

        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = tf.while_loop(lambda i, _: i < 2, lambda i, value: (i + 1, step(value)), (0, x))[1]
        return y, *tape.gradient(y, [x, kernel])

    once = _expected(x, kernel, (2, 1), x)[0]
    twice, back, second = _expected(once, kernel, (2, 1), np.ones_like(x))
    _, by_x, first = _expected(x, kernel, (2, 1), back)
    doubled = 4.0 * x, np.full_like(x, 4.0), np.zeros_like(kernel)
    for choice, expected in ((0, doubled), (1, (twice, by_x, first + second))):
        found = looped(tf.constant(x), tf.constant(kernel), tf.constant([2, 1]), tf.constant(choice))
        for value, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(value, wanted, atol=1e-4, rtol=1e-5)
