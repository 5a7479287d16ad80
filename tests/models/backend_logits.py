"""Writes the logits of several networks, with weights that depend on their names alone, and gradients in bfloat16.

    python backend_logits.py FILE.npz

test_backends.py runs it on JAX.
"""

import sys
import zlib

import keras
import numpy as np
from keras import ops

from deeplab_dpc.arch.genotype import Genotype
from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.checkpoint.names import named_variables
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.layers.aspp import ASPP
from deeplab_dpc.models.precision import precision_policy
from deeplab_dpc.models.segmenter import Segmenter, build_segmenter

GENOTYPE = {  # with every kind of operator, strided and not, down and up
    "blocks": [
        {"left": {"state": 0, "operator": "avg_pool_3x3"}, "right": {"state": 1, "operator": "separable_5x5"}},
        {"left": {"state": 1, "operator": "skip"}, "right": {"state": 0, "operator": "atrous_3x3"}},
        {"left": {"state": 2, "operator": "skip"}, "right": {"state": 3, "operator": "max_pool_3x3"}},
    ],
    "path": [0, 1, 0],
}

NETWORKS = {
    "auto_deeplab": ModelConfig(
        num_classes=5,
        model_variant="auto_deeplab",
        output_stride=4,
        genotype=Genotype.from_json(GENOTYPE),
        nas_stem_output_num_conv_filters=2,
        aspp_convs_filters=4,
    ),
    "mobilenet_v3, LR-ASPP": ModelConfig(
        num_classes=5,
        model_variant="mobilenet_v3_small_seg",
        image_pooling_crop_size=(49, 49),
        image_pooling_stride=(2, 1),
        aspp_convs_filters=128,
        aspp_with_concat_projection=False,
        aspp_with_squeeze_and_excitation=True,
        image_se_uses_qsigmoid=True,
        decoder_output_stride=(8,),
        decoder_filters=5,
        decoder_use_sum_merge=True,
        decoder_output_is_logits=True,
    ),
    "resnet, full convolutions": ModelConfig(
        num_classes=5,
        model_variant="resnet_v1_50_beta",
        output_stride=8,
        multi_grid=(1, 2, 4),
        atrous_rates=(12,),
        aspp_with_separable_conv=False,
        decoder_output_stride=(4,),
        decoder_use_separable_conv=False,
    ),
    "xception, cell, two decoder stages": ModelConfig(
        num_classes=5,
        model_variant="xception_41",
        dense_prediction_cell=load_cell("psp"),
        decoder_output_stride=(8, 4),
    ),
}
HALF_PRECISION = "mobilenet_v3, LR-ASPP"  # the network that is computed in bfloat16 too
IMAGE_SIZE = (66, 97)  # one side even, one odd


def value(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Contents of a variable from its name: kernels that keep the scale, statistics and gammas about 1."""
    u = np.random.default_rng(zlib.crc32(name.encode())).uniform(-1, 1, shape)
    leaf = name.rsplit("/", 1)[-1]
    if leaf in ("gamma", "moving_variance"):
        u = 1.0 + 0.2 * u
    elif leaf in ("beta", "moving_mean", "biases"):
        u = 0.1 * u
    else:
        fan_in = np.prod(shape[:2]) if leaf == "depthwise_weights" else np.prod(shape[:-1])
        u = u * np.sqrt(4.0 / fan_in)
    return u.astype("float32")


def logits(config: ModelConfig, precision: str = "float32") -> np.ndarray:
    """The network's logits for one image of noise."""
    with precision_policy(precision):
        model: Segmenter = build_segmenter(config)
    for name, variable in named_variables(model).items():
        variable.assign(value(name, tuple(variable.shape)))
    image = np.random.default_rng(0).uniform(0, 255, (1, *IMAGE_SIZE, 3)).astype("float32")
    return np.asarray(model.predict_on_batch(image))


def gradients(precision: str) -> dict[str, np.ndarray]:
    """Gradients in training of an ASPP, which has all kernels but the resize to other sides, by variable name."""
    with precision_policy(precision):
        layer = ASPP((2,), filters=4, dropout=0.0, name="aspp")
    layer.build((2, 9, 11, 3))
    names = ["/".join(variable.path.split("/")[-3:]) for variable in layer.trainable_variables]
    for name, variable in zip(names, layer.trainable_variables, strict=True):
        variable.assign(value(name, tuple(variable.shape)))
    rng = np.random.default_rng(1)
    x, weights = rng.normal(size=(2, 9, 11, 3)).astype("float32"), rng.normal(size=(2, 9, 11, 4)).astype("float32")
    if keras.backend.backend() == "jax":
        import jax

        def loss(trainable):
            y, _ = layer.stateless_call(trainable, [v.value for v in layer.non_trainable_variables], x, training=True)
            return ops.sum(weights * ops.cast(y, "float32"))

        found = jax.jit(jax.grad(loss))([variable.value for variable in layer.trainable_variables])
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            total = ops.sum(weights * ops.cast(layer(x, training=True), "float32"))
        found = tape.gradient(total, [variable.value for variable in layer.trainable_variables])
    return {name: np.asarray(gradient) for name, gradient in zip(names, found, strict=True)}


def _zeros(self, shape, dtype=None, **kwargs):
    return ops.zeros(shape, dtype)


if __name__ == "__main__":
    # The values are replaced anyway, and JAX would compile the random ones for each shape.
    for initializer in (keras.initializers.TruncatedNormal, keras.initializers.VarianceScaling):
        initializer.__call__ = _zeros
    np.savez(
        sys.argv[1],
        **{name: logits(config) for name, config in NETWORKS.items()},
        **{"half precision": logits(NETWORKS[HALF_PRECISION], "bfloat16")},
        **{f"gradient {name}": array for name, array in gradients("bfloat16").items()},
    )
