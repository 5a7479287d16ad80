"""Tests of what every layer keeps to: it serialises, its shapes and dtypes are as declared, and it trains."""

import keras
import numpy as np
import pytest
from keras import ops

from deeplab_dpc.arch.genotype import Atrous, AveragePooling
from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.layers.aspp import ASPP
from deeplab_dpc.layers.conv import BiasedConv, ConvBN, DepthwiseConvBN
from deeplab_dpc.layers.dense_prediction_cell import DensePredictionCell
from deeplab_dpc.layers.drop_path import DropPath
from deeplab_dpc.layers.dropout import Dropout
from deeplab_dpc.layers.genotype_cell import EdgeOperator
from deeplab_dpc.layers.normalization import BatchNorm
from deeplab_dpc.layers.pooling import GridPyramidPooling, ImageGate, ImagePooling
from deeplab_dpc.layers.resize import ResizeAlignCorners
from deeplab_dpc.layers.separable_conv import SeparableConvBN, SplitSeparableConvBN
from deeplab_dpc.models.backbones.mobilenet import InvertedResidual, SqueezeExcite
from deeplab_dpc.models.backbones.resnet import Bottleneck
from deeplab_dpc.models.backbones.xception import XceptionModule
from deeplab_dpc.models.precision import precision_policy

SHAPE = (2, 9, 11, 3)
LAYERS = {
    "batch_norm": (lambda: BatchNorm(decay=0.9, epsilon=1e-3), (2, 9, 11, 3)),
    "conv": (lambda: ConvBN(4, kernel_size=3, strides=2), (2, 5, 6, 4)),
    "atrous_conv": (lambda: ConvBN(4, kernel_size=3, rate=(2, 3)), (2, 9, 11, 4)),
    "padded_conv": (lambda: ConvBN(4, kernel_size=3, strides=2, explicit_padding=True), (2, 5, 6, 4)),
    "biased_conv": (lambda: BiasedConv(4, 3, activation="quantized_sigmoid"), (2, 9, 11, 4)),
    "depthwise": (lambda: DepthwiseConvBN((2, 3), activation="relu6"), (2, 9, 11, 3)),
    "separable": (lambda: SplitSeparableConvBN(4, (1, 6)), (2, 9, 11, 4)),
    "joint_separable": (lambda: SeparableConvBN(4, 5), (2, 9, 11, 4)),
    "strided_joint_separable": (lambda: SeparableConvBN(4, strides=2, explicit_padding=True), (2, 5, 6, 4)),
    "skip_operator": (lambda: EdgeOperator("skip", 3, 2), (2, 5, 6, 3)),
    "atrous_operator": (lambda: EdgeOperator(Atrous(3), 3, 2, 0.9), (2, 5, 6, 3)),
    "pooling_operator": (lambda: EdgeOperator(AveragePooling(), 3, 2), (2, 5, 6, 3)),
    "strided_separable": (lambda: SplitSeparableConvBN(4, strides=2, explicit_padding=True), (2, 5, 6, 4)),
    "pooling": (lambda: GridPyramidPooling(4, (2, 8)), (2, 9, 11, 4)),
    "image_pooling": (lambda: ImagePooling(4), (2, 9, 11, 4)),
    "image_pooling_windows": (lambda: ImagePooling(4, (5, 20), (2, 1)), (2, 9, 11, 4)),
    "image_gate": (lambda: ImageGate(4, (5, 7), (4, 5), activation="sigmoid"), (2, 9, 11, 4)),
    "dropout": (lambda: Dropout(0.5), (2, 9, 11, 3)),
    "drop_path": (lambda: DropPath(0.5), (2, 9, 11, 3)),
    "resize": (lambda: ResizeAlignCorners((17, 5)), (2, 17, 5, 3)),
    "aspp": (lambda: ASPP((6, 12), filters=4), (2, 9, 11, 4)),
    "full_aspp": (lambda: ASPP((6,), filters=4, separable=False), (2, 9, 11, 4)),
    "lite_aspp": (
        lambda: ASPP(filters=4, concat_projection=False, squeeze_and_excitation=True, quantized_sigmoid=True),
        (2, 9, 11, 4),
    ),
    "unprojected_aspp": (lambda: ASPP((6,), filters=4, concat_projection=False), (2, 9, 11, 12)),
    "cell": (lambda: DensePredictionCell(load_cell("dpc_top1"), filters=4), (2, 9, 11, 4)),
    "pooling_cell": (lambda: DensePredictionCell(load_cell("psp"), filters=4), (2, 9, 11, 4)),
    "squeeze_excite": (lambda: SqueezeExcite(3), (2, 9, 11, 3)),
    "inverted_residual": (lambda: InvertedResidual(3, 3, 18, rate=2), (2, 9, 11, 3)),
    "gated_inverted_residual": (
        lambda: InvertedResidual(4, 3, 3, strides=2, kernel_size=5, activation="hard_silu", squeeze_excite=True),
        (2, 5, 6, 4),
    ),
    "xception_module": (lambda: XceptionModule((4, 5, 6), strides=2), (2, 5, 6, 6)),
    "last_xception_module": (
        lambda: XceptionModule((4, 5, 6), "none", rate=2, unit_rates=(1, 2, 4), activation_inside=True),
        (2, 9, 11, 6),
    ),
    "bottleneck": (lambda: Bottleneck(2, 3, strides=2, drop_path_keep_prob=0.9), (2, 5, 6, 8)),
}


@pytest.fixture(scope="module", params=LAYERS)
def case(request):
    """A built layer, a way to make another, its input, and the shape of its output."""
    make, output_shape = LAYERS[request.param]
    keras.utils.set_random_seed(1)
    layer = make()
    layer.build(SHAPE)
    inputs = np.random.default_rng(2).normal(size=SHAPE).astype("float32")
    return layer, make, inputs, output_shape


def test_output_has_the_declared_shape_and_dtype(case):
    layer, _, inputs, output_shape = case
    outputs = layer(inputs)
    assert tuple(outputs.shape) == output_shape
    assert tuple(layer.compute_output_shape(SHAPE)) == output_shape
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"


def test_layer_made_from_its_config_computes_the_same(case):
    layer, _, inputs, _ = case
    config = keras.saving.serialize_keras_object(layer)
    copy = keras.saving.deserialize_keras_object(config)
    if not copy.built:
        copy.build(SHAPE)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(ops.convert_to_numpy(copy(inputs)), ops.convert_to_numpy(layer(inputs)))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_keeps_float32_variables(case, precision):
    _, make, inputs, _ = case
    with precision_policy(precision):
        layer = make()
    layer.build(SHAPE)
    outputs = layer(ops.cast(inputs, precision), training=True)
    assert keras.backend.standardize_dtype(outputs.dtype) == precision
    assert {variable.dtype for variable in layer.weights} <= {"float32"}


def test_every_trainable_variable_is_trained(case):
    _, make, inputs, output_shape = case
    keras.utils.set_random_seed(3)
    layer = make()
    model = keras.Sequential([keras.Input(SHAPE[1:]), layer])
    if not model.trainable_variables:
        pytest.skip("the layer has no variables")
    # The symbolic call above has traced the layer; to trace its step as well would take longer than all else here.
    model.compile(keras.optimizers.SGD(1.0), loss="mse", jit_compile=False, run_eagerly=True)
    before = [ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    targets = np.random.default_rng(4).normal(size=output_shape).astype("float32")
    for _ in range(3):
        model.train_on_batch(inputs, targets)
    after = [ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    unchanged = [
        variable.path
        for variable, old, new in zip(model.trainable_variables, before, after, strict=True)
        if np.array_equal(old, new)
    ]
    assert unchanged == []
    assert all(np.isfinite(value).all() for value in after)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BatchNorm(decay=1.0), r"`decay` must be in \[0, 1\), got 1.0"),
        (lambda: BatchNorm(epsilon=0.0), "`epsilon` must be > 0, got 0.0"),
        (lambda: ConvBN(0), "`filters` must be >= 1, got 0"),
        (lambda: ConvBN(1, kernel_size=0), "`kernel_size` must be >= 1, got 0"),
        (lambda: DepthwiseConvBN((0, 1)), r"`rate` must be \(rate_h, rate_w\), each >= 1, got \(0, 1\)"),
        (lambda: DepthwiseConvBN((2, 2), strides=2), "`rate` above 1 needs strides 1"),
        (lambda: GridPyramidPooling(1, (0, 1)), r"`grid` must be \(grid_h, grid_w\), each >= 1, got \(0, 1\)"),
        (lambda: ImagePooling(1, (0, 1)), r"`window` must be \(vertical, horizontal\), each >= 1, got \(0, 1\)"),
        (lambda: ASPP((6,), concat_projection=False, squeeze_and_excitation=True), "needs `concat_projection`"),
        (lambda: ResizeAlignCorners((0, 1)), r"`size` must be \(height, width\) with sides >= 1, got \(0, 1\)"),
        (lambda: ASPP((6, 0)), r"`atrous_rates` must all be >= 1, got \(6, 0\)"),
    ],
)
def test_arguments_out_of_range_are_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
