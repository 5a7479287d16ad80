"""The supernet: its connections, the mixture of paths, and gradients to all alphas and betas."""

import dataclasses

import numpy as np
import plain_supernet
import pytest
import tensorflow as tf

from deeplab_dpc.config import AutoDeepLabConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.layers import kernels
from deeplab_dpc.search.auto_deeplab import stem
from deeplab_dpc.search.auto_deeplab import supernet as supernet_module
from deeplab_dpc.search.auto_deeplab.convolution import Normalizer
from deeplab_dpc.search.auto_deeplab.decoding import edge_mask
from deeplab_dpc.search.auto_deeplab.initial_weights import initial_weights
from deeplab_dpc.search.auto_deeplab.search_program import initial_architecture, mixtures
from deeplab_dpc.search.auto_deeplab.supernet import Supernet, named_shapes
from deeplab_dpc.search.proxy.tensorflow_backend import value_and_gradient

# Three layers reach all four strides, and the first layers of three of them.
TINY = Supernet(num_classes=3, num_layers=3, num_blocks=1, filter_multiplier=2, stem_filters=4)
TWO_LAYERS, ONE_LAYER = (dataclasses.replace(TINY, num_layers=layers) for layers in (2, 1))
STRIDES = (4, 8, 16, 32)


def _weights(net):
    """Initial weights, moved from where gammas are 1, offsets 0 and logits small."""
    weights = initial_weights(named_shapes(net.weight_shapes), seed=0)
    return weights + 0.2 * np.random.default_rng(1).standard_normal(weights.shape).astype("float32")


def _architecture(net):
    rng = np.random.default_rng(2)
    initial = initial_architecture(net, seed=0)
    return {name: rng.standard_normal(values.shape).astype("float32") for name, values in initial.items()}


def _mixed(net):
    return mixtures(_architecture(net), edge_mask(net.num_layers))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(3).uniform(0, 255, (2, 33, 65, 3)).astype("float32")


@pytest.fixture(scope="module")
def objective(images):
    """Returns the sum of a network's logits times fixed numbers, as a function of raw alphas, betas and weights."""

    def of(net):
        factors = np.random.default_rng(4).standard_normal((2, 9, 17, 3)).astype("float32")
        exists = edge_mask(net.num_layers)

        def value(variables):
            mixed = mixtures(variables["architecture"], exists)
            logits, _ = net(variables["weights"], mixed["alphas"], mixed["betas"], images)
            return tf.reduce_sum(logits * factors), logits

        return value

    return of


def test_twelve_layers_have_105_connections():
    found = [(each.layer, each.source, each.target) for each in Supernet(19).connections]
    assert len(found) == len(set(found)) == 105
    # Layer 1 starts at stride 4, layer 2 at 4 and 8, layer 3 at 4, 8 and 16.
    assert [sum(layer == each[0] for each in found) for layer in range(1, 13)] == [2, 5, 8] + 9 * [10]
    assert [each[1:] for each in found if each[0] == 2] == [(0, 0), (1, 0), (0, 1), (1, 1), (1, 2)]
    assert {(source, target) for layer, source, target in found if layer == 12} == {
        *((level, level) for level in range(4)),
        *((level, level + 1) for level in range(3)),
        *((level + 1, level) for level in range(3)),
    }


def test_betas_exist_for_the_connections():
    exists = np.zeros((12, 4, 3), bool)
    for each in Supernet(19).connections:
        exists[each.layer - 1, each.source, each.target - each.source + 1] = True
    np.testing.assert_array_equal(edge_mask(12), exists)


def test_channels_of_what_cells_read():
    net = Supernet(19, num_layers=5, num_blocks=3, filter_multiplier=2, stem_filters=4)
    shapes = {part: (own["previous/kernel"], own["before/kernel"]) for part, own in _connections(net).items()}
    # A node has 3 * 2 * 2^level channels, the stem 4 at stride 2 and 8 at stride 4.
    assert shapes["layer1/4to4"] == ((1, 1, 8, 2), (1, 1, 4, 2))
    assert shapes["layer1/4to8"] == ((3, 3, 8, 4), (1, 1, 4, 4))
    assert shapes["layer2/4to8"] == ((3, 3, 6, 4), (1, 1, 8, 4))  # before: the stem at stride 4
    assert shapes["layer2/8to16"] == ((3, 3, 12, 8), (1, 1, 8, 8))
    assert shapes["layer3/8to4"] == ((1, 1, 12, 2), (1, 1, 6, 2))
    assert shapes["layer3/8to16"] == ((3, 3, 12, 8), (1, 1, 12, 8))  # before: layer 1 at stride 8
    assert shapes["layer4/16to32"] == ((3, 3, 24, 16), (1, 1, 24, 16))  # before: layer 2 at stride 16
    assert shapes["layer5/16to32"] == ((3, 3, 24, 16), (1, 1, 48, 16))  # before: layer 3 at stride 32


def _connections(net):
    return {part: own for part, own in net.weight_shapes.items() if part.startswith("layer")}


def test_logits_are_at_stride_4_where_strides_do_not_align_too():
    mixed = _mixed(ONE_LAYER)
    run = tf.function(lambda weights, images: ONE_LAYER(weights, mixed["alphas"], mixed["betas"], images)[0])
    logits = run.get_concrete_function(_weights(ONE_LAYER), tf.TensorSpec((2, 40, 45, 3)))
    assert logits.output_shapes == (2, 10, 12, 3)


def test_equals_the_equations_edge_by_edge(images):
    mixed = _mixed(TINY)
    logits, _ = TINY(_weights(TINY), mixed["alphas"], mixed["betas"], images)
    weights = plain_supernet.plain_weights(TINY, _weights(TINY))
    norm = plain_supernet.BatchNorm()
    expected = plain_supernet.supernet(images, weights, mixed["alphas"], mixed["betas"], 3, 1, norm)
    assert expected.shape == (2, 9, 17, 3)
    np.testing.assert_allclose(logits, expected, atol=2e-5)
    assert np.std(expected) > 0.3


@pytest.mark.parametrize("path", [(0, 1, 2), (1, 1, 0), (0, 0, 1), (1, 2, 3)])
def test_one_hot_mixture_is_the_network_of_its_path(path, images):
    chosen = (1, 3)  # Separable 5x5 of H(l-1), atrous 5x5 of H(l-2).
    betas = np.zeros((3, 4, 3), "float32")
    for layer, (source, target) in enumerate(zip((0, *path), path, strict=False)):
        betas[layer, source, target - source + 1] = 1.0
    logits, _ = TINY(_weights(TINY), np.eye(8, dtype="float32")[list(chosen)], betas, images)
    weights = plain_supernet.plain_weights(TINY, _weights(TINY))
    np.testing.assert_allclose(logits, _discrete(path, chosen, images, weights), atol=2e-5)


def _discrete(path, chosen, images, weights):
    """One cell of one block a layer; nodes beside the path are 0."""
    norm = plain_supernet.BatchNorm()
    before, previous = plain_supernet.stem(images, weights, norm)
    levels = [-1, 0, *path]  # of the outputs from the stem at stride 2 on
    for layer, level in enumerate(path, start=1):
        size = _size(level, images)
        read = 0 if layer <= 2 else min(level, layer - 2)  # the stem, or what a layer has that is next to the level
        older = before if layer <= 2 or levels[layer - 1] == read else _nothing(read, images)
        part = f"layer{layer}/{STRIDES[levels[layer]]}to{STRIDES[level]}"
        states = plain_supernet.entry(previous, older, weights, part, level > levels[layer], size, norm)
        outputs = [
            plain_supernet.operators(state, weights, f"{part}/block0/state{i}", norm)[chosen[i]]
            for i, state in enumerate(states)
        ]
        before, previous = previous, outputs[0] + outputs[1]
    logits = 0.0
    for level, stride in enumerate(STRIDES):
        x = previous if level == path[-1] else _nothing(level, images)
        logits += plain_supernet.resize(plain_supernet.head(x, weights, stride, norm), _size(0, images))
    return logits


def _size(level, images):
    return [(side - 1) // STRIDES[level] + 1 for side in images.shape[1:3]]


def _nothing(level, images):
    return tf.zeros((len(images), *_size(level, images), 2 * 2**level))


def test_a_node_is_the_weighted_sum_of_the_cells_that_enter_it(images, monkeypatch):
    # Layer 3 at stride 8 is entered from strides 4 (entry [2, 0, 2] of the betas), 8 ([2, 1, 1]) and 16 ([2, 2, 0]).
    nodes = {}
    aspp = supernet_module.heads.aspp

    def noted(x, weights, normalize, stride):
        nodes[stride] = x.numpy()
        return aspp(x, weights, normalize, stride)

    monkeypatch.setattr(supernet_module.heads, "aspp", noted)
    mixed = _mixed(TINY)

    def node(*of_sources):
        betas = mixed["betas"].numpy()
        betas[2] = 0.0
        betas[2, 0, 2], betas[2, 1, 1], betas[2, 2, 0] = of_sources
        TINY(_weights(TINY), mixed["alphas"], betas, images)
        assert not np.any(nodes[4])
        return nodes[8]

    cells = [node(*one) for one in np.eye(3)]
    assert all(np.abs(cell).max() > 0.1 for cell in cells)
    expected = 0.2 * cells[0] + 0.5 * cells[1] + 0.9 * cells[2]
    np.testing.assert_allclose(node(0.2, 0.5, 0.9), expected, atol=1e-5)


def test_gradients_reach_all_alphas_and_existing_betas_alone(objective):
    start = {"architecture": _architecture(TWO_LAYERS), "weights": _weights(TWO_LAYERS)}
    _, gradients = value_and_gradient(objective(TWO_LAYERS))(tf.nest.map_structure(tf.constant, start))
    alphas, betas = (gradients["architecture"][name].numpy() for name in ("alphas", "betas"))
    assert np.all(np.abs(alphas) > 1e-6)
    exists = edge_mask(2)
    assert np.all(np.abs(betas[exists]) > 1e-6)
    np.testing.assert_array_equal(betas[~exists], 0.0)


def test_betas_of_the_edges_that_leave_a_node_sum_to_one():
    net = Supernet(19)
    betas = mixtures(initial_architecture(net, seed=0), edge_mask(net.num_layers))["betas"].numpy()
    assert betas.shape == (12, 4, 3)
    present = np.array([[level <= layer for level in range(4)] for layer in range(12)])  # layer 0 is the stem
    np.testing.assert_allclose(betas.sum(axis=-1), present, atol=1e-6)
    count = (betas > 0).sum(axis=-1)
    np.testing.assert_array_equal(count, present * np.array([2, 3, 3, 2]))
    np.testing.assert_array_equal(betas[:, 0, 0], 0.0)  # there is nothing above stride 4
    np.testing.assert_array_equal(betas[:, 3, 2], 0.0)  # nor below 32


def test_architecture_starts_at_small_normal_numbers():
    start = initial_architecture(Supernet(19), seed=0)
    assert start["alphas"].shape == (20, 8)
    existing = start["betas"][edge_mask(12)]
    assert len(existing) == np.count_nonzero(start["betas"]) == 105
    np.testing.assert_allclose([start["alphas"].std(), existing.std()], 1e-3, rtol=0.15)


def test_logits_upsampled_together_are_those_upsampled_from_each_stride(rng):
    pixels = (65, 97)
    own = [rng.normal(size=(1, 64 // stride + 1, 96 // stride + 1, 2)).astype("float32") for stride in STRIDES]
    each = sum(kernels.resize_align_corners(x, *pixels) for x in own)
    together = kernels.resize_align_corners(sum(kernels.resize_align_corners(x, 17, 25) for x in own), *pixels)
    np.testing.assert_allclose(together, each, atol=1e-5)


def test_rematerialized_cells_have_the_same_gradients(objective):
    start = {"architecture": _architecture(ONE_LAYER), "weights": _weights(ONE_LAYER)}
    start = tf.nest.map_structure(tf.constant, start)
    kept = value_and_gradient(objective(ONE_LAYER))(start)
    again = tf.function(value_and_gradient(objective(dataclasses.replace(ONE_LAYER, rematerialize=True))))(start)
    for expected, found in zip(tf.nest.flatten(kept), tf.nest.flatten(again), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_bfloat16_is_close_to_float32(images):
    mixed = _mixed(ONE_LAYER)
    found = [
        dataclasses.replace(ONE_LAYER, dtype=dtype)(_weights(ONE_LAYER), mixed["alphas"], mixed["betas"], images)
        for dtype in ("float32", "bfloat16")
    ]
    (logits, _), (rounded, statistics) = found
    assert rounded.dtype == statistics.dtype == tf.float32
    difference = np.abs(rounded - logits)
    assert 0.0 < np.mean(difference) < 0.03 * np.std(logits)


@pytest.mark.parametrize(("layers", "parts"), [(2, {"conv0", "conv1"}), (3, {"conv0", "conv1", "conv2"})])
def test_either_stem_ends_at_strides_2_and_4(layers, parts):
    shapes = stem.weight_shapes(layers, 4)
    assert {name.partition("/")[0] for name in shapes} == parts
    weights = {name: np.ones(shape, "float32") for name, shape in shapes.items()}
    half, quarter = stem.stem(layers, np.ones((1, 33, 49, 3), "float32"), weights, Normalizer(None))
    assert (half.shape, quarter.shape) == ((1, 17, 25, 4), (1, 9, 13, 8))
    assert [stem.channels(layer, 4) for layer in (-1, 0)] == [4, 8]


def test_a_search_of_before_has_the_stem_of_three():
    before = {name: value for name, value in AutoDeepLabConfig().to_json().items() if name != "stem_layers"}
    assert AutoDeepLabConfig.from_json(before).stem_layers == 3
    assert AutoDeepLabConfig.from_json(AutoDeepLabConfig().to_json()).stem_layers == 2
    with pytest.raises(UserError, match="--stem_layers must be 2 or 3, got 4"):
        AutoDeepLabConfig(stem_layers=4)
