"""The backend's kernels against plain NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from deeplab_dpc.layers import interpolation, kernels


def test_resize_keeps_corners_and_interpolates_between():
    x = np.array([[0.0, 4.0], [8.0, 12.0]], "float32")[None, :, :, None]
    resized = ops.convert_to_numpy(kernels.resize_align_corners(ops.convert_to_tensor(x), 3, 5))[0, :, :, 0]
    np.testing.assert_allclose(resized, [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8], [8, 9, 10, 11, 12]], atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (9, 17), (3, 2), (5, 4)])
def test_resize_equals_its_interpolation_matrices(rng, height, width):
    x = rng.normal(size=(2, 3, 5, 4)).astype("float32")
    expected = np.einsum(
        "Hh,bhwc,Ww->bHWc",
        interpolation.interpolation_matrix(3, height),
        x,
        interpolation.interpolation_matrix(5, width),
    )
    resized = ops.convert_to_numpy(kernels.resize_align_corners(ops.convert_to_tensor(x), height, width))
    np.testing.assert_allclose(resized, expected, atol=1e-6)


def test_one_row_is_repeated():
    np.testing.assert_array_equal(interpolation.interpolation_matrix(1, 4), np.ones((4, 1)))


@pytest.mark.parametrize("rate", [(1, 1), (1, 6), (3, 2), (9, 21)])
def test_depthwise_convolution_adds_shifted_copies(rng, rate):
    x = rng.normal(size=(1, 7, 10, 2)).astype("float32")
    kernel = rng.normal(size=(3, 3, 2, 1)).astype("float32")
    expected = np.zeros_like(x)
    for i in range(7):
        for j in range(10):
            for di in (-1, 0, 1):
                for dj in (-1, 0, 1):
                    row, column = i + di * rate[0], j + dj * rate[1]
                    if 0 <= row < 7 and 0 <= column < 10:
                        expected[0, i, j] += x[0, row, column] * kernel[di + 1, dj + 1, :, 0]
    y = kernels.depthwise_conv(ops.convert_to_tensor(x), ops.convert_to_tensor(kernel), 1, rate)
    np.testing.assert_allclose(ops.convert_to_numpy(y), expected, atol=1e-5)


def test_batch_norm_uses_the_biased_variance_and_returns_the_unbiased():
    x = np.array([1.0, 2.0, 3.0, 6.0], "float32").reshape(1, 2, 2, 1)  # mean 3, variance 3.5, unbiased 14 / 3
    gamma, beta = ops.convert_to_tensor([2.0]), ops.convert_to_tensor([1.0])
    y, mean, variance = kernels.batch_norm_training(ops.convert_to_tensor(x), gamma, beta, 0.5)
    np.testing.assert_allclose(ops.convert_to_numpy(y).ravel(), [-1.0, 0.0, 1.0, 4.0], atol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(mean), [3.0], atol=1e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(variance), [14.0 / 3.0], atol=1e-5)


def test_batch_norm_of_a_single_value_is_finite():
    one = ops.ones((1, 1, 1, 1))
    y, _, variance = kernels.batch_norm_training(one, ops.ones(1), ops.zeros(1), 1e-3)
    assert (ops.convert_to_numpy(y).item(), ops.convert_to_numpy(variance).item()) == (0.0, 0.0)


def test_cross_entropy_by_hand():
    logits = ops.convert_to_tensor(np.log([[[0.25, 0.75], [0.5, 0.5]]]).astype("float32"))
    losses = kernels.cross_entropy(ops.convert_to_tensor(np.array([[1, 0]], "int32")), logits)
    np.testing.assert_allclose(ops.convert_to_numpy(losses), [[-np.log(0.75), np.log(2.0)]], rtol=1e-6)


def _gradients(function, tensors):
    """Returns the gradients of a function of tensors, on either backend."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(jax.grad(function, argnums=tuple(range(len(tensors)))))(*tensors)
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(*tensors)
    return tape.gradient(value, tensors)


def test_gradient_of_batch_norm_is_that_of_its_formula(rng):
    """Compares with differences of sum(y * upstream), with respect to x, gamma and beta."""
    x, upstream = rng.normal(size=(2, 3, 2, 2)), rng.normal(size=(2, 3, 2, 2))
    gamma, beta = np.array([1.5, 0.5]), np.array([0.1, -0.2])

    def total(x, gamma, beta):
        mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
        return float((((x - mean) / np.sqrt(variance + 0.1) * gamma + beta) * upstream).sum())

    arguments = [x, gamma, beta]
    expected = []
    for place, argument in enumerate(arguments):
        slopes = np.zeros_like(argument)
        for index in np.ndindex(argument.shape):
            moved = [value.copy() for value in arguments]
            moved[place][index] += 1e-5
            above = total(*moved)
            moved[place][index] -= 2e-5
            slopes[index] = (above - total(*moved)) / 2e-5
        expected.append(slopes)

    def loss(x, gamma, beta):
        y, _, _ = kernels.batch_norm_training(x, gamma, beta, 0.1)
        return ops.sum(y * ops.convert_to_tensor(upstream.astype("float32")))

    tensors = [ops.convert_to_tensor(value.astype("float32")) for value in arguments]
    for found, slopes in zip(_gradients(loss, tensors), expected, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(found), slopes, atol=1e-4)
