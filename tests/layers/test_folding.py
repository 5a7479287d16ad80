"""Batch norm multiplied into convolutions, and class ids of upsampled logits without upsampling them all."""

import numpy as np
import pytest
from keras import ops

from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.conv import ConvBN, DepthwiseConvBN
from deeplab_dpc.layers.normalization import BatchNorm
from deeplab_dpc.layers.separable_conv import SeparableConvBN


def _randomise(layer, rng):
    for variable in layer.weights:
        variable.assign(rng.uniform(0.5, 2.0, size=variable.shape))


def test_folding_by_hand():
    layer = ConvBN(1, activation=None, batch_norm_epsilon=1.0)
    layer.build((None, 1, 1, 1))
    for variable, value in zip(layer.weights, (3.0, 2.0, 5.0, 4.0, 8.0), strict=True):
        variable.assign(np.full(variable.shape, value))
    # gamma 2, beta 5, mean 4, variance 8 + 1: y = 2 (3 x - 4) / 3 + 5
    layer.fold_batch_norm()
    assert float(ops.convert_to_numpy(layer.kernel).ravel()[0]) == pytest.approx(2.0)
    assert float(layer.batch_norm.beta[0]) == pytest.approx(5.0 - 8.0 / 3.0)
    assert float(layer(np.ones((1, 1, 1, 1), "float32"))[0, 0, 0, 0]) == pytest.approx(2.0 + 5.0 - 8.0 / 3.0)


@pytest.mark.parametrize(
    "make", [lambda: ConvBN(6, 3, strides=2), lambda: DepthwiseConvBN((2, 1)), lambda: SeparableConvBN(6, 5, strides=2)]
)
def test_folded_convolution_is_the_same_function(make, rng):
    layer = make()
    layer.build((None, 9, 11, 4))
    _randomise(layer, rng)
    x = rng.normal(size=(2, 9, 11, 4)).astype("float32")
    expected = ops.convert_to_numpy(layer(x))
    layer.fold_batch_norm()
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), expected, rtol=1e-5, atol=1e-5)


def test_variables_of_a_folded_batch_norm_describe_what_it_does(rng):
    layer = BatchNorm(epsilon=1e-3)
    layer.build((None, 3, 3, 4))
    _randomise(layer, rng)
    layer.fold()
    x = rng.normal(size=(1, 3, 3, 4)).astype("float32")
    folded = ops.convert_to_numpy(layer(x))
    layer.is_folded = False
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), folded, atol=1e-6)


@pytest.mark.parametrize(("factor", "channels"), [(1, 2), (4, 300), (16, 21)])
def test_upsampled_argmax_is_that_of_the_upsampled(factor, channels, rng):
    # Areas of two classes, a border between, and a point of another class that is one corner of each cell around it.
    x = rng.normal(size=(2, 5, 7, channels)).astype("float32")
    x[:, :, :3, 1] += 9.0
    x[:, :, 3:, 0] += 9.0
    x[:, 2, 5, 1] += 30.0
    height, width = 4 * factor + 1, 6 * factor + 1
    expected = ops.argmax(kernels.resize_align_corners(ops.convert_to_tensor(x), height, width), axis=-1)
    found = ops.convert_to_numpy(kernels.upsampled_argmax(ops.convert_to_tensor(x), factor, height, width - 1))
    np.testing.assert_array_equal(found, ops.convert_to_numpy(expected)[:, :, :-1])
    assert found.dtype == np.int32
    assert len(np.unique(found)) > 1


def test_upsampled_argmax_of_one_class_everywhere(rng):
    x = np.zeros((1, 3, 3, 4), "float32")
    x[..., 2] = 1.0
    assert (ops.convert_to_numpy(kernels.upsampled_argmax(ops.convert_to_tensor(x), 8, 17, 17)) == 2).all()
