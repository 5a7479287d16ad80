"""Networks in half precision: what stays in float32, how far the logits are off, and that they train."""

import backend_logits
import keras
import numpy as np
import pytest
from keras import ops

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.checkpoint.names import named_variables
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.layers.conv import ConvBN
from deeplab_dpc.models.decoder import Decoder
from deeplab_dpc.models.precision import precision_policy
from deeplab_dpc.models.segmenter import build_segmenter

LITE = backend_logits.NETWORKS["mobilenet_v3, LR-ASPP"]
NETWORKS = {
    "mobilenet_v2, dpc_top1": ModelConfig(num_classes=5, dense_prediction_cell=load_cell("dpc_top1")),
    "xception_41, ASPP, decoder": ModelConfig(
        num_classes=5, model_variant="xception_41", atrous_rates=(6, 12, 18), decoder_output_stride=(4,)
    ),
    "resnet_v1_50_beta": backend_logits.NETWORKS["resnet, full convolutions"],
    "mobilenet_v3, LR-ASPP": LITE,
}
# (root mean square, largest) of the error over the logits' standard deviation; measured at 65 x 65: 0.0067 to 0.0097
# and 0.042 in bfloat16, 0.0008 to 0.0014 and 0.0058 in float16.
TOLERANCES = {"bfloat16": (0.02, 0.08), "float16": (0.003, 0.012)}
TINY = ModelConfig(num_classes=3, depth_multiplier=0.1, dense_prediction_cell=load_cell("conv1x1"))


def _network(config, precision):
    with precision_policy(precision):
        model = build_segmenter(config)
    for name, variable in named_variables(model).items():
        variable.assign(backend_logits.value(name, tuple(variable.shape)))
    return model


def _smooth_images(count, side):
    coarse = np.random.default_rng(0).uniform(0, 255, (count, 5, 5, 3)).astype("float32")
    return ops.convert_to_numpy(ops.image.resize(coarse, (side, side), interpolation="bilinear"))


def _dtype(tensor):
    return keras.backend.standardize_dtype(tensor.dtype)


def _step(model, images, loss):
    """The loss in training, and its gradients."""
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the gradient is taken with TensorFlow")
    with tf.GradientTape() as tape:
        value = loss(model(images, training=True))
    return value, tape.gradient(value, [variable.value for variable in model.trainable_variables])


@pytest.mark.parametrize(
    ("name", "precisions"),
    [
        ("mobilenet_v2, dpc_top1", ("bfloat16", "float16")),
        ("mobilenet_v3, LR-ASPP", ("bfloat16", "float16")),
        pytest.param("xception_41, ASPP, decoder", ("bfloat16",), marks=pytest.mark.long),
        pytest.param("resnet_v1_50_beta", ("bfloat16",), marks=pytest.mark.long),
    ],
)
def test_half_precision_logits_are_near_those_of_float32(name, precisions):
    images = _smooth_images(2, 33)
    exact = ops.convert_to_numpy(_network(NETWORKS[name], "float32")(images))
    for precision in precisions:
        mean_tolerance, largest_tolerance = TOLERANCES[precision]
        logits = _network(NETWORKS[name], precision)(images)
        assert _dtype(logits) == "float32"
        error = np.abs(ops.convert_to_numpy(logits) - exact) / exact.std()
        assert 0.0 < np.sqrt((error**2).mean()) < mean_tolerance
        assert error.max() < largest_tolerance


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("name", ["mobilenet_v2, dpc_top1", "mobilenet_v3, LR-ASPP"])
def test_gradients_in_half_precision_are_finite_float32(name, precision):
    model = _network(NETWORKS[name], precision)
    _, gradients = _step(model, _smooth_images(2, 33), lambda logits: ops.mean(logits[..., 0]))
    assert {_dtype(gradient) for gradient in gradients} == {"float32"}
    assert all(np.isfinite(ops.convert_to_numpy(gradient)).all() for gradient in gradients)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_variables_are_float32_and_activations_are_not(precision):
    model = _network(TINY, precision)
    assert {_dtype(variable) for variable in model.weights} == {"float32"}
    assert _dtype(model.features(_smooth_images(1, 33))) == precision
    assert _dtype(model.head(ops.zeros((1, 3, 3, 32), precision), training=True)) == precision


def test_stages_of_a_decoder_that_gives_logits_compute_in_float32(rng):
    features = ops.ones((1, 3, 3, 6), "bfloat16")
    low_level = [ops.ones((1, 5, 5, 4), "bfloat16"), ops.ones((1, 9, 9, 2), "bfloat16")]
    decoders = []
    for precision in ("float32", "bfloat16"):
        with precision_policy(precision):
            decoder = Decoder((8, 4), filters=5, sum_merge=True, output_is_logits=True)
        decoder.build((features.shape, [part.shape for part in low_level]))
        decoders.append(decoder)
    decoders[0].set_weights([rng.normal(size=weight.shape) for weight in decoders[0].weights])
    decoders[1].set_weights(decoders[0].get_weights())
    exact, half = (decoder((features, low_level), image_size=(33, 33)) for decoder in decoders)
    assert _dtype(half) == "float32"
    np.testing.assert_array_equal(ops.convert_to_numpy(half), ops.convert_to_numpy(exact))


def test_images_are_normalised_before_they_are_rounded():
    model = _network(TINY, "bfloat16")
    # bfloat16 has no number between 130 and 131; normalised they are 0.0196 and 0.0227.
    features = [ops.convert_to_numpy(model(np.full((1, 17, 17, 3), v, "float32"))) for v in (130.0, 130.4)]
    assert not np.array_equal(*features)


def test_policy_is_restored_also_after_an_error():
    before = keras.config.dtype_policy().name
    with precision_policy("bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == before
    with pytest.raises(ValueError, match="`filters` must be >= 1"), precision_policy("float16"):
        ConvBN(0)
    assert keras.config.dtype_policy().name == before


def test_unknown_precision_is_an_error():
    message = "`precision` must be one of float32, bfloat16, float16, got 'int8'"
    with pytest.raises(ValueError, match=message), precision_policy("int8"):
        pass


def test_three_steps_in_bfloat16_lower_the_loss():
    keras.utils.set_random_seed(1)
    with precision_policy("bfloat16"):
        model = build_segmenter(TINY, training_steps=3)
    images = _smooth_images(2, 17)
    labels = ops.one_hot(np.array([[[0]], [[2]]]) * np.ones((2, 2, 2), "int32"), 3)
    losses = []
    for _ in range(4):
        loss, gradients = _step(model, images, lambda z: -ops.mean(ops.sum(labels * ops.log_softmax(z), axis=-1)))
        losses.append(float(loss))
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
            variable.assign_sub(0.05 * gradient)
    assert losses[-1] < losses[0] - 0.05
