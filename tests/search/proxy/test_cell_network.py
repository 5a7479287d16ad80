"""One compiled step takes any cell, and computes what networks built for each of them compute."""

import keras
import numpy as np
import pytest
from built_network import BuiltNetwork
from keras import ops

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.arch.operations import AtrousConv, PyramidPooling
from deeplab_dpc.search.proxy.cell_network import CellNetwork
from deeplab_dpc.search.proxy.cell_weights import InitialWeights, initial_statistics
from deeplab_dpc.search.proxy.training_step import FEATURES, TrainingStep, initial_state
from deeplab_dpc.search.proxy.wiring import ABSENT, Capacity, kind_of, wire
from deeplab_dpc.training.losses import SegmentationLoss

if keras.backend.backend() == "tensorflow":
    from deeplab_dpc.search.proxy.tensorflow_backend import compiled, training_loop
else:
    from deeplab_dpc.search.proxy.jax_backend import compiled, training_loop

SIZE, CHANNELS, CLASSES, FILTERS = (5, 7), 12, 3, 8
STEPS, DECAY = 20, 0.8
CELLS = {
    "conv1x1": load_cell("conv1x1"),
    "pooling and what reads it": Cell.from_json(
        [
            {"op": "pyramid_pooling", "grid_size": [4, 2], "input": -1},
            {"op": "conv", "kernel": 3, "rate": [3, 15], "input": 0},
            {"op": "pyramid_pooling", "grid_size": [1, 4], "input": 1},
        ]
    ),
    "convolutions": Cell.from_json(
        [
            {"op": "conv", "kernel": 3, "rate": [1, 6], "input": -1},
            {"op": "conv", "kernel": 1, "input": 0},
            {"op": "conv", "kernel": 3, "rate": [1, 1], "input": 0},
        ]
    ),
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(6, *SIZE, CHANNELS)).astype("float32")
    # Of the features, so that there is something to learn; at stride 8.
    labels = features[..., :CLASSES].argmax(axis=-1).repeat(8, axis=1).repeat(8, axis=2)[:, 4:37, 4:53].astype("int32")
    labels = np.pad(labels, ((0, 0), (0, 33 - labels.shape[1]), (0, 49 - labels.shape[2])), constant_values=255)
    labels[:, :9] = 255
    rows = np.stack([rng.permutation(6)[:4] for _ in range(STEPS)]).astype("int32")
    return features, labels, rows


@pytest.fixture(scope="module")
def network():
    return CellNetwork(CHANNELS, CLASSES, Capacity(3, 4), filters=FILTERS, dropout=0.0)


@pytest.fixture(scope="module")
def loss():
    exact = SegmentationLoss(255)
    return lambda targets, logits: exact(targets["labels"], logits)


@pytest.fixture(scope="module")
def run(network, loss):
    """The one program of all cells."""
    return training_loop(TrainingStep(network, loss))


@pytest.fixture(scope="module")
def predict(network):
    return compiled(lambda weights, wiring, features, statistics: network(weights, wiring, features, statistics)[0])


def _tensors(values):
    return keras.tree.map_structure(ops.convert_to_tensor, values)


def _wiring(cell, network):
    return _tensors(wire(cell, network.capacity, SIZE, output_stride=16))


@pytest.mark.long
@pytest.mark.parametrize("name", CELLS)
def test_any_cell_trains_and_predicts_as_a_network_built_for_it(name, data, network, loss, run, predict):
    features, labels, rows = data
    cell, rates = CELLS[name], np.linspace(0.5, 0.05, STEPS).astype("float32")
    weights = InitialWeights(network, seed=1).of(cell)
    numbers = [np.zeros(STEPS, "int32"), np.float32(DECAY), np.int32(0), np.int32(STEPS)]
    arrays = _tensors({FEATURES: features, "labels": labels})
    start = initial_state(weights, initial_statistics(network))
    state, losses = run(start, _wiring(cell, network), arrays, *_tensors([rows, rates, *numbers]))

    built = BuiltNetwork(cell, CLASSES, FILTERS, DECAY, lambda targets, logits: loss({"labels": targets}, logits))
    built.build((None, *SIZE, CHANNELS))
    built.assign(weights)
    expected = built.trained(rates, features, labels, rows)
    assert expected[-1] < 0.95 * expected[0]
    np.testing.assert_allclose(ops.convert_to_numpy(losses), expected, rtol=1e-5)
    logits = predict(state["weights"], _wiring(cell, network), ops.convert_to_tensor(features), state["statistics"])
    np.testing.assert_allclose(ops.convert_to_numpy(logits), built.predict_on_batch(features), atol=1e-5)


def test_steps_in_two_calls_are_the_steps_of_one(data, network, run):
    features, labels, rows = data
    cell = CELLS["convolutions"]
    weights, arrays = InitialWeights(network, 1).of(cell), _tensors({FEATURES: features, "labels": labels})
    constants = _tensors([rows, np.full(STEPS, 0.1, "float32"), np.zeros(STEPS, "int32"), np.float32(DECAY)])
    losses = []
    for calls in ([(0, STEPS)], [(0, 7), (7, STEPS - 7)]):
        state = initial_state(weights, initial_statistics(network))
        found = np.zeros(STEPS, "float32")
        for first, count in calls:
            state, part = run(
                state, _wiring(cell, network), arrays, *constants, *_tensors([np.int32(first), np.int32(count)])
            )
            found[first : first + count] = ops.convert_to_numpy(part)[first : first + count]
        losses.append(found)
    np.testing.assert_array_equal(*losses)


def test_cells_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"`cell` does not fit Capacity\(branches=3, grid=2\): B>pool@4x2"):
        wire(CELLS["pooling and what reads it"], Capacity(3, 2), SIZE, 16)
    assert Capacity(1, 1).including(*CELLS.values()) == Capacity(3, 4)


def test_wiring_of_a_cell_by_hand():
    wiring = wire(CELLS["pooling and what reads it"], Capacity(4, 4), (2, 4), output_stride=8)
    assert wiring["kind"].tolist() == [kind_of(kind) for kind in (PyramidPooling, AtrousConv, PyramidPooling)] + [
        ABSENT
    ]
    assert wiring["source"].tolist() == [0, 1, 2, 0]
    assert wiring["rate"].tolist() == [[1, 1], [6, 30], [1, 1], [1, 1]]
    assert wiring["grid_points"][0].tolist() == [[1, 1, 0, 0]] * 4
    np.testing.assert_allclose(wiring["pool_columns"][0], [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], [0] * 4, [0] * 4])
    np.testing.assert_allclose(
        wiring["upsample_columns"][0][:, :2], [[1, 0], [2 / 3, 1 / 3], [1 / 3, 2 / 3], [0, 1]], atol=1e-6
    )


def test_weights_that_a_cell_does_not_use_are_zero_and_the_others_are_the_seeds(network):
    weights = InitialWeights(network, 3).of(CELLS["convolutions"])
    backbone, inner = weights["branches"][0], weights["branches"][1]
    assert np.abs(backbone["kernel"]).max() <= 2 * 0.06
    assert np.abs(backbone["depthwise_kernel"]).max() <= 2 * 0.33
    assert np.all(backbone["kernel"] != 0)
    assert np.all(inner["kernel"][FILTERS:] == 0)
    assert np.all(inner["depthwise_kernel"] == 0)
    # Glorot's limit for 8 inputs and 8 outputs.
    assert 0.5 < np.abs(inner["kernel"]).max() <= np.sqrt(6 / 16)
    again = InitialWeights(network, 3).of(CELLS["convolutions"])
    np.testing.assert_array_equal(again["projection"]["kernel"], weights["projection"]["kernel"])
    other = InitialWeights(network, 4).of(CELLS["convolutions"])
    assert np.all(other["projection"]["kernel"] != weights["projection"]["kernel"])
    assert np.all(InitialWeights(network, 3).of(CELLS["conv1x1"])["projection"]["kernel"][1:] == 0)
