"""Networks for inference: folded batch norm and bfloat16 against the network as it was trained."""

import keras
import numpy as np
import pytest

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.config import InferenceConfig, ModelConfig
from deeplab_dpc.models.inference_network import inference_network
from deeplab_dpc.models.segmenter import build_segmenter

LR_ASPP = {
    "aspp_with_squeeze_and_excitation": True,
    "aspp_with_concat_projection": False,
    "aspp_convs_filters": 128,
    "decoder_output_stride": (8,),
    "decoder_output_is_logits": True,
    "decoder_filters": 3,
    "decoder_use_sum_merge": True,
}
CONFIGS = {
    "mobilenet_v2_cell": ModelConfig(3, depth_multiplier=0.1, dense_prediction_cell=load_cell("dpc_top1")),
    "mobilenet_v3": ModelConfig(3, model_variant="mobilenet_v3_small_seg", depth_multiplier=0.5, **LR_ASPP),
    "xception": ModelConfig(3, model_variant="xception_41", atrous_rates=(6,), decoder_output_stride=(4,)),
}


def _network(config, rng):
    """A network whose statistics are not those of the initialisation, so that folding changes every kernel."""
    keras.utils.set_random_seed(0)
    network = build_segmenter(config)
    for variable in network.weights:
        leaf = variable.path.rpartition("/")[2]
        if leaf in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.7, 1.4, size=variable.shape))
        elif leaf in ("beta", "moving_mean"):
            variable.assign(rng.normal(scale=0.1, size=variable.shape))
    return network


@pytest.mark.parametrize("name", CONFIGS)
def test_folded_network_has_the_same_logits(name, rng):
    network = _network(CONFIGS[name], rng)
    before = [np.array(variable) for variable in network.weights]
    image = rng.uniform(0, 255, size=(1, 33, 49, 3)).astype("float32")
    expected = np.asarray(network(image))
    folded = inference_network(network, InferenceConfig())
    np.testing.assert_allclose(np.asarray(folded(image)), expected, atol=1e-4 * np.abs(expected).max())
    norms = [layer for layer in folded._flatten_layers() if layer.name == "BatchNorm"]
    assert norms
    assert all(layer.is_folded for layer in norms)
    for variable, value in zip(network.weights, before, strict=True):
        np.testing.assert_array_equal(np.array(variable), value)


def test_nothing_is_copied_where_nothing_changes(rng):
    network = _network(CONFIGS["mobilenet_v2_cell"], rng)
    assert inference_network(network, InferenceConfig(fold_batch_norm=False)) is network


def test_bfloat16_computes_in_bfloat16_from_the_same_weights(rng):
    network = _network(CONFIGS["mobilenet_v2_cell"], rng)
    half = inference_network(network, InferenceConfig(inference_dtype="bfloat16", fold_batch_norm=False))
    image = rng.uniform(0, 255, size=(1, 33, 33, 3)).astype("float32")
    assert keras.backend.standardize_dtype(half.features(image).dtype) == "bfloat16"
    expected = np.asarray(network(image))
    found = np.asarray(half(image))
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    for one, other in zip(half.weights, network.weights, strict=True):
        np.testing.assert_array_equal(np.array(one), np.array(other))
