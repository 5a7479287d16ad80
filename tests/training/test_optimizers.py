"""The optimizers against hand-computed steps and TensorFlow's own kernel; the multipliers of gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.checkpoint.names import published_name
from deeplab_dpc.config import ModelConfig, TrainConfig
from deeplab_dpc.models.segmenter import build_segmenter
from deeplab_dpc.training.optimizers import MomentumSGD, build_optimizer, gradient_multipliers, is_decayed
from deeplab_dpc.training.schedules import PolySchedule, build_schedule


@keras.saving.register_keras_serializable(package="tests")
class Halving(keras.optimizers.schedules.LearningRateSchedule):
    """Rates 1, 1/2, 1/4 ..."""

    def __call__(self, step):
        return keras.ops.power(0.5, keras.ops.cast(step, "float32"))

    def get_config(self):
        return {}


def _apply(optimizer, variable, gradients, compiled):
    optimizer.build([variable])

    def step(gradient):
        optimizer.apply([gradient], [variable])
        return variable.value + 0.0

    call = tf.function(step) if compiled else step
    return [np.array(call(tf.constant(gradient))) for gradient in gradients]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
def test_momentum_takes_the_present_rate_for_earlier_gradients(compiled):
    # Accumulators 1, 2.5 and 0.25, rates 1, 1/2 and 1/4.
    optimizer = MomentumSGD(Halving(), momentum=0.5)
    values = _apply(optimizer, keras.Variable([10.0]), [[1.0], [2.0], [-1.0]], compiled)
    assert [float(value[0]) for value in values] == [9.0, 7.75, 7.6875]


def test_momentum_equals_tensorflows_own(rng):
    gradients = rng.normal(size=(6, 3)).astype("float32")
    schedule = PolySchedule(0.1, 6)
    values = _apply(MomentumSGD(schedule), keras.Variable(np.ones(3, "float32")), gradients, compiled=True)
    variable, accumulator = tf.Variable(tf.ones(3)), tf.Variable(tf.zeros(3))
    for step, (gradient, value) in enumerate(zip(gradients, values, strict=True)):
        tf.raw_ops.ResourceApplyMomentum(
            var=variable.handle, accum=accumulator.handle, lr=schedule(step), grad=gradient, momentum=0.9
        )
        np.testing.assert_allclose(value, variable, rtol=1e-6)


def test_momentum_is_serializable():
    optimizer = MomentumSGD(Halving(), momentum=0.5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert (type(again), again.momentum) == (MomentumSGD, 0.5)
    with pytest.raises(ValueError, match=r"`momentum` must be in \[0, 1\), got 1.0"):
        MomentumSGD(momentum=1.0)


@pytest.fixture(scope="module")
def network():
    config = ModelConfig(num_classes=3, depth_multiplier=0.1, aspp_convs_filters=8, decoder_output_stride=(4,))
    return build_segmenter(config)


def _published(names_of, network):
    return {published_name(variable.path) for variable in network.trainable_variables if names_of(variable)}


def test_weight_decay_is_for_kernels_that_are_not_depthwise(network):
    decayed = _published(is_decayed, network)
    assert {name.rsplit("/", 1)[-1] for name in decayed} == {"weights"}
    assert decayed >= {
        "MobilenetV2/Conv/weights",
        "MobilenetV2/expanded_conv_1/project/weights",
        "logits/semantic/weights",
    }
    rest = _published(lambda variable: not is_decayed(variable), network)
    assert {name.rsplit("/", 1)[-1] for name in rest} == {"depthwise_weights", "gamma", "beta", "biases"}


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
def test_adamw_decays_the_decayed_variables_alone(compiled):
    layer = keras.layers.Dense(1)
    layer.build((None, 1))
    kernel, bias = variables = layer.trainable_variables
    kernel.assign([[1.0]])
    bias.assign([1.0])
    config = TrainConfig(optimizer="adamw", base_learning_rate=0.5, weight_decay=0.1, training_number_of_steps=10)
    optimizer = build_optimizer(config, build_schedule(config), variables)
    optimizer.build(variables)

    def step():
        optimizer.apply([tf.zeros((1, 1)), tf.zeros((1,))], variables)

    (tf.function(step) if compiled else step)()
    assert float(kernel[0, 0]) == pytest.approx(1.0 - 0.5 * 0.1)
    assert float(bias[0]) == 1.0


def test_optimizer_is_the_one_of_the_flags(network):
    def build(**flags):
        config = TrainConfig(**flags)
        return build_optimizer(config, build_schedule(config), network.trainable_variables)

    momentum, adam = build(momentum=0.8), build(optimizer="adam", adam_epsilon=1e-3)
    assert (type(momentum), momentum.momentum) == (MomentumSGD, 0.8)
    assert (type(adam), adam.epsilon, adam.weight_decay) == (keras.optimizers.Adam, 1e-3, None)
    assert type(build(optimizer="adamw", precision="bfloat16")) is keras.optimizers.AdamW
    scaled = build(precision="float16")
    assert type(scaled) is keras.optimizers.LossScaleOptimizer
    assert type(scaled.inner_optimizer) is MomentumSGD


def _multipliers(network, logits_only):
    multipliers = gradient_multipliers(network, 10.0, logits_only)
    names = [published_name(variable.path) for variable in network.trainable_variables]
    return dict(zip(names, multipliers, strict=True))


def test_gradients_of_biases_are_doubled_and_those_of_the_last_layers_multiplied(network):
    multipliers = _multipliers(network, logits_only=False)
    assert multipliers.pop("logits/semantic/biases") == 20.0
    last = {name.split("/")[0] for name, multiplier in multipliers.items() if multiplier == 10.0}
    assert last == {"image_pooling", "aspp0", "concat_projection", "decoder", "logits"}
    assert {multiplier for name, multiplier in multipliers.items() if name.split("/")[0] in last} == {10.0}
    assert {multiplier for name, multiplier in multipliers.items() if name.startswith("MobilenetV2/")} == {1.0}


def test_last_layers_may_be_the_logits_alone(network):
    multipliers = _multipliers(network, logits_only=True)
    assert {name: multiplier for name, multiplier in multipliers.items() if multiplier != 1.0} == {
        "logits/semantic/weights": 10.0,
        "logits/semantic/biases": 20.0,
    }


def test_cell_belongs_to_the_last_layers():
    config = ModelConfig(num_classes=3, depth_multiplier=0.1, dense_prediction_cell=load_cell("conv1x1"))
    network = build_segmenter(config)
    last = {name.split("/")[0] for name, multiplier in _multipliers(network, False).items() if multiplier != 1.0}
    assert last == {"meta_architecture", "logits"}


def test_decoder_whose_output_is_the_logits_is_the_logits():
    config = ModelConfig(
        num_classes=3,
        depth_multiplier=0.1,
        aspp_convs_filters=8,
        decoder_output_stride=(8,),
        decoder_filters=3,
        decoder_output_is_logits=True,
    )
    multipliers = _multipliers(build_segmenter(config), logits_only=True)
    assert {name.split("/")[0] for name, multiplier in multipliers.items() if multiplier != 1.0} == {"decoder"}


def test_frozen_variables_have_no_multiplier():
    network = build_segmenter(ModelConfig(num_classes=3, depth_multiplier=0.1, aspp_convs_filters=8))
    network.backbone.trainable = False
    assert 1.0 not in gradient_multipliers(network, 10.0, False)
