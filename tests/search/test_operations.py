"""Tests what holds for every operation, also of installed packages: text, formulas, layer, proxy, picture agree."""

import inspect
import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from built_network import BuiltNetwork, assign_weights
from keras import ops
from matplotlib.figure import Figure

from deeplab_dpc import own_parts
from deeplab_dpc.arch.cell import BACKBONE, Branch, Cell
from deeplab_dpc.arch.cell_formulas import branch_norm_multiply_adds, cell_cost, receptive_field
from deeplab_dpc.arch.drawing import cell_inches, draw_cell_into
from deeplab_dpc.arch.operations import known_operations
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.errors import UserError
from deeplab_dpc.layers.operations import runtime_of
from deeplab_dpc.search.proxy.cell_network import CellNetwork
from deeplab_dpc.search.proxy.cell_weights import InitialWeights, initial_statistics
from deeplab_dpc.search.proxy.wiring import Capacity, row, wire
from deeplab_dpc.search.reporting.usage import _branch_tests

OPERATIONS = known_operations()
EXAMPLES = SearchSpace(
    rates=(1, 3), grids=(1, 2, 4), further_operations=own_parts.names(own_parts.OPERATIONS)
).operations
SIZE, CHANNELS, FILTERS = (6, 9), 5, 4  # sides that are multiples of the rates
NETWORK = CellNetwork(CHANNELS, 3, Capacity(len(OPERATIONS), 4), filters=FILTERS, dropout=0.0)

every_operation = pytest.mark.parametrize("operation", EXAMPLES, ids=lambda operation: operation.summary())


def one_branch(operation):
    return Cell((Branch(BACKBONE, operation),))


def built_layer(operation, output_stride=16, channels=CHANNELS, filters=FILTERS):
    layer = runtime_of(type(operation)).layer(operation, filters, output_stride, name="branch0")
    layer.build((None, *SIZE, channels))
    return layer


def random_branch(operation):
    """Weights and statistics of a branch of the proxy's network, none of which is trivial."""
    rng = np.random.default_rng(0)
    weights = InitialWeights(NETWORK, seed=1).of(one_branch(operation))["branches"][0]
    drawn = {name: rng.uniform(0.5, 2.0, values.shape) for name, values in weights.items() if "kernel" not in name}
    known = {name: rng.uniform(0.5, 2.0, values.shape) for name, values in NETWORK.initial_statistics.items()}
    as_floats = ({name: values.astype("float32") for name, values in part.items()} for part in (drawn, known))
    drawn, known = as_floats
    return {**weights, **drawn}, known


def tensors(values):
    return keras.tree.map_structure(ops.convert_to_tensor, values)


def features(*size):
    return np.random.default_rng(2).normal(size=(2, *size, CHANNELS)).astype("float32")


def distinct(values):
    values = list(values)
    return len(set(values)) == len(values)


def test_nothing_tells_two_operations_alike():
    assert {type(operation) for operation in EXAMPLES} == set(OPERATIONS)
    assert not any(inspect.isabstract(kind) for kind in OPERATIONS)
    for values in (
        ((kind.OP, kind.KERNEL) for kind in OPERATIONS),
        (kind.COLOR for kind in OPERATIONS),
        (kind.RUNTIME for kind in OPERATIONS),
        itertools.chain.from_iterable((kind.TITLE, *kind.ASPECTS) for kind in OPERATIONS),
        (operation.sort_key for operation in EXAMPLES),
        (operation.summary() for operation in EXAMPLES),
        (str(operation) for operation in EXAMPLES),
    ):
        assert distinct(values)
    runtimes = [runtime_of(kind) for kind in OPERATIONS]
    for further in ("further_weights", "further_statistics"):
        names = itertools.chain.from_iterable(getattr(runtime, further)(1) for runtime in runtimes)
        assert distinct((*names, "kernel", "gamma", "beta", "mean", "variance"))
    wired = itertools.chain.from_iterable(runtime.blank_wiring(1, (1, 1)) for runtime in runtimes)
    assert distinct((*wired, "kind", "source"))


@every_operation
def test_json_round_trip(operation):
    cell = one_branch(operation)
    written = json.loads(json.dumps(cell.to_json()))
    assert Cell.from_json(written) == cell
    assert set(written[0]) <= {"op", "input", *operation.KEYS}
    with pytest.raises(UserError, match=f"unknown key 'size'; a \"{operation.OP}\" branch has only input, op"):
        Cell.from_json([{**written[0], "size": 3}])


@every_operation
def test_report_counts_a_branch_once(operation):
    passed = [name for name, test in _branch_tests().items() if test(Branch(BACKBONE, operation))]
    titles = {kind.TITLE for kind in OPERATIONS}
    assert [name for name in passed if name in titles] == [type(operation).TITLE]
    assert {name.removeprefix("... ") for name in passed if name.startswith("...")} <= set(operation.ASPECTS)


@pytest.mark.parametrize("output_stride", [8, 16])
@every_operation
def test_layer_and_proxy_compute_the_same(operation, output_stride):
    layer, runtime = built_layer(operation, output_stride), runtime_of(type(operation))
    weights, known = random_branch(operation)
    assign_weights(layer, {**weights, **known})
    wiring = tensors(row(wire(one_branch(operation), NETWORK.capacity, SIZE, output_stride), 0))
    x = ops.convert_to_tensor(features(*SIZE))
    for statistics, training in ((tensors(known), False), (None, True)):
        output, found = runtime.apply(x, tensors(weights), wiring, statistics)
        np.testing.assert_allclose(output, layer(x, training=training), rtol=1e-4, atol=1e-5)
        assert set(found) == {"mean", "variance", *runtime.further_statistics(1)}
    half, _ = runtime.apply(ops.cast(x, "bfloat16"), tensors(weights), wiring, None)
    assert keras.backend.standardize_dtype(half.dtype) == "bfloat16"


def test_network_of_all_operations_is_that_built_of_layers():
    chain = [next(example for example in EXAMPLES if isinstance(example, kind)) for kind in OPERATIONS]
    for operations in (chain, chain[::-1]):
        cell = Cell(tuple(Branch(i - 1, operation) for i, operation in enumerate(operations)))
        weights, statistics = InitialWeights(NETWORK, seed=0).of(cell), initial_statistics(NETWORK)
        wiring = tensors(wire(cell, NETWORK.capacity, SIZE, output_stride=16))
        x = features(*SIZE)
        logits, _ = NETWORK(tensors(weights), wiring, ops.convert_to_tensor(x), tensors(statistics))
        built = BuiltNetwork(cell, 3, FILTERS, 0.9, None)
        built.build(x.shape)
        built.assign(weights)
        np.testing.assert_allclose(logits, built(x), rtol=1e-4, atol=1e-5)


def traced_multiply_adds(layer, shape):
    """Those of the convolutions in the layer's graph."""
    graph = tf.function(lambda x: layer(x, training=False)).get_concrete_function(tf.TensorSpec(shape)).graph
    total = 0
    for node in graph.get_operations():
        if node.type in ("Conv2D", "DepthwiseConv2dNative"):
            summed = node.inputs[1].shape[: 3 if node.type == "Conv2D" else 2]
            total += node.outputs[0].shape.num_elements() * summed.num_elements()
    return total


@every_operation
def test_cost_is_that_of_the_layers_variables_and_graph(operation):
    layer = built_layer(operation)
    cost = cell_cost(one_branch(operation), *SIZE, CHANNELS, filters=FILTERS, include_projection=False)
    assert layer.cost((None, *SIZE, CHANNELS)) == cost
    sizes = {variable.path: int(np.prod(variable.shape)) for variable in layer.trainable_variables}
    norms = sum(size for path, size in sizes.items() if path.endswith(("gamma", "beta")))
    assert (cost.parameters, cost.batch_norm_parameters) == (sum(sizes.values()) - norms, norms)
    assert cost.multiply_adds == traced_multiply_adds(layer, (1, *SIZE, CHANNELS))
    elements = branch_norm_multiply_adds(one_branch(operation), *SIZE, filters=FILTERS)
    assert elements * CHANNELS <= cost.multiply_adds


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@every_operation
def test_receptive_field_is_the_support_of_the_layers_gradient(operation, output_stride):
    height, width = 15, 17
    layer = built_layer(operation, output_stride, channels=1, filters=1)
    for variable in layer.trainable_variables:
        variable.assign(np.full(variable.shape, 0.0 if variable.path.endswith("beta") else 1.0, "float32"))
    # With these weights the layer is linear on what is not negative: its gradient is its response to a unit.
    units = np.eye(height * width, dtype="float32").reshape(-1, height, width, 1)
    response = ops.convert_to_numpy(layer(units, training=False))[..., 0].reshape(height, width, height, width) > 0
    rows, columns = response.any(axis=(1, 3)), response.any(axis=(0, 2))  # [read, written], along each axis
    support = tuple(max(np.ptp(np.flatnonzero(reads)) + 1 for reads in along.T) for along in (rows, columns))
    assert support == receptive_field(one_branch(operation), height, width, output_stride)


@pytest.mark.parametrize("constant", itertools.product((False, True), repeat=2))
@every_operation
def test_constant_axes_are_those_of_the_layer_and_simplified_does_the_same(operation, constant):
    x = features(*(1 if along else side for side, along in zip(SIZE, constant, strict=True)))
    x = np.broadcast_to(x, (2, *SIZE, CHANNELS))
    weights, known = random_branch(operation)

    def computed(by):
        layer = built_layer(by)
        assign_weights(layer, {**weights, **known})
        return ops.convert_to_numpy(layer(x, training=False))

    output = computed(operation)
    found = tuple(bool(np.ptp(output, axis=axis).max() < 1e-5) for axis in (1, 2))
    assert found == operation.constant_axes(constant)
    simple = operation.simplified(constant)
    np.testing.assert_allclose(computed(simple), output, rtol=1e-4, atol=1e-5)
    assert simple.simplified(constant) == simple
    assert simple == operation or any(constant)


@every_operation
def test_drawing_shows_the_text_inside_a_box_of_the_operations_colour(operation):
    cell = one_branch(operation)
    figure = Figure(figsize=cell_inches(cell))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    draw_cell_into(axes, cell)
    text = next(text for text in axes.texts if text.get_text().startswith("branch 0\n"))
    assert text.get_text() == "branch 0\n" + str(operation).replace(", ", "\n")
    box = next(patch for patch in axes.patches if patch.get_window_extent().contains(*_middle(text)))
    assert box.get_facecolor()[:3] == pytest.approx([int(operation.COLOR[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    inner, outer = text.get_window_extent(), box.get_window_extent()
    assert outer.x0 < inner.x0 < inner.x1 < outer.x1
    assert outer.y0 < inner.y0 < inner.y1 < outer.y1


def _middle(text):
    extent = text.get_window_extent()
    return (extent.x0 + extent.x1) / 2, (extent.y0 + extent.y1) / 2


@every_operation
def test_atrous_taps_lie_in_the_receptive_field(operation):
    growth = operation.receptive_field_growth(*SIZE, output_stride=16)
    assert all(2 * rate <= cells for rate, cells in zip(operation.tap_rates or (0, 0), growth, strict=True))
