"""The mixed cell: by hand on a row of pixels, and edge by edge as benchmarks/plain_supernet.py computes it."""

import math

import numpy as np
import plain_supernet
import pytest

from deeplab_dpc.arch.genotype import OPERATORS, Atrous, AveragePooling, MaxPooling, Separable, Skip, Zero
from deeplab_dpc.arch.genotype_space import cell_edges
from deeplab_dpc.search.auto_deeplab.convolution import Normalizer
from deeplab_dpc.search.auto_deeplab.mixed_cell import MixedCell, block_diagonal, edge_rows

EPSILON = 1e-3


def _row(*pixels):
    """[1, 1, width, 1]"""
    return np.array(pixels, "float32").reshape(1, 1, -1, 1)


def _alphas(num_blocks, **of_rows):
    """Zero on all edges, but what is given for rows: row3={Skip(): 0.5, Zero(): 0.5}."""
    alphas = np.zeros((len(edge_rows(num_blocks)), len(OPERATORS)), "float32")
    alphas[:, OPERATORS.index(Zero())] = 1.0
    for row, operators in of_rows.items():
        index = int(row.removeprefix("row"))
        alphas[index] = 0.0
        for operator, share in operators.items():
            alphas[index, OPERATORS.index(operator)] = share
    return alphas


def _weights(cell, rng):
    return {name: rng.normal(size=shape).astype("float32") for name, shape in cell.weight_shapes().items()}


def _run(cell, weights, states, alphas, known=None):
    normalize = Normalizer(known)
    return np.asarray(cell(weights, *states, cell.shares(alphas), normalize)), normalize.found


@pytest.mark.parametrize(
    ("operators", "factors"),
    [({Skip(): 1.0}, (1.0, 2.0)), ({Zero(): 1.0}, (0.0, 0.0)), ({Skip(): 0.5, Zero(): 0.5}, (0.5, 0.75))],
)
def test_skips_add_up_and_zeros_vanish(operators, factors, rng):
    # H0 = a (S0 + S1), H1 = a (S0 + S1 + H0)
    cell = MixedCell(num_blocks=2, filters=1)
    states = _row(1, -2, 3), _row(10, 20, -30)
    alphas = _alphas(2, **{f"row{row}": operators for row in range(5)})
    found, _ = _run(cell, _weights(cell, rng), states, alphas)
    sums = np.array([11.0, 18.0, -27.0])
    np.testing.assert_allclose(found[0, 0], np.stack([factor * sums for factor in factors], axis=-1), rtol=1e-6)


def test_each_row_of_alphas_is_an_edge_of_its_own(rng):
    # Rows: S0 -> 0, S1 -> 0, S0 -> 1, S1 -> 1, H0 -> 1.
    cell = MixedCell(num_blocks=2, filters=1)
    shares = {"row0": 0.5, "row1": 0.25, "row2": 0.125, "row3": 0.75, "row4": 0.0625}
    alphas = _alphas(2, **{row: {Skip(): share, Zero(): 1.0 - share} for row, share in shares.items()})
    found, _ = _run(cell, _weights(cell, rng), (_row(16), _row(32)), alphas)
    np.testing.assert_array_equal(found[0, 0, 0], [8 + 8, 2 + 24 + 1])


@pytest.mark.parametrize(
    ("operator", "expected", "mean", "variance"),
    [
        # The largest are 3, 6, 6; the means, without what lies outside, 1.5, 3, 4.5.
        (MaxPooling(), np.array([-2, 1, 1]) / math.sqrt(2 + EPSILON), 5.0, 3.0),
        (AveragePooling(), np.array([-1.5, 0, 1.5]) / math.sqrt(1.5 + EPSILON), 3.0, 2.25),
    ],
)
def test_poolings_by_hand(operator, expected, mean, variance, rng):
    cell = MixedCell(num_blocks=1, filters=1)
    alphas = _alphas(1, row0={operator: 0.5, Zero(): 0.5})
    found, statistics = _run(cell, _weights(cell, rng), (_row(0, 3, 6), _row(7, 8, 1)), alphas)
    np.testing.assert_allclose(found[0, 0, :, 0], 0.5 * expected, rtol=1e-5)
    np.testing.assert_allclose(statistics[f"state0/{operator.name}/mean"], [mean], rtol=1e-6)
    np.testing.assert_allclose(statistics[f"state0/{operator.name}/variance"], [variance], rtol=1e-6)


def _centred(shape):
    """A depthwise kernel that gives its input."""
    kernel = np.zeros(shape, "float32")
    kernel[shape[0] // 2, shape[1] // 2] = 1.0
    return kernel


@pytest.mark.parametrize("operator", [Separable(3), Separable(5)])
def test_separable_convolution_is_twice_relu_convolution_and_norm(operator):
    cell = MixedCell(num_blocks=1, filters=1)
    weights = {
        name: _centred(shape) if name.endswith("depthwise_kernel") else np.ones(shape, "float32")
        for name, shape in cell.weight_shapes().items()
    }
    found, _ = _run(cell, weights, (_row(-1, 2), _row(5, 6)), _alphas(1, row0={operator: 1.0}))
    # ReLU: 0, 2; norm: -c, c; ReLU: 0, c; norm: (-c / 2, c / 2) / sqrt(c^2 / 4 + epsilon)
    c = 1 / math.sqrt(1 + EPSILON)
    expected = (c / 2) / math.sqrt(c**2 / 4 + EPSILON)
    np.testing.assert_allclose(found[0, 0, :, 0], [-expected, expected], rtol=1e-5)


@pytest.mark.parametrize("operator", [Atrous(3), Atrous(5)])
def test_atrous_convolution_has_rate_2_and_relu_before(operator, rng):
    cell = MixedCell(num_blocks=1, filters=1)
    weights = _weights(cell, rng)
    name = f"state0/{operator.name}/kernel"
    weights[name] = np.zeros_like(weights[name])
    middle = operator.kernel_size // 2
    weights[name][middle, middle - 1] = 1.0  # reads two pixels to the left
    found, _ = _run(cell, weights, (_row(1, 0, -9, 0, 0), _row(1, 2, 3, 4, 5)), _alphas(1, row0={operator: 1.0}))
    # 0, 0, 1, 0, 0: mean 0.2, variance 0.16
    np.testing.assert_allclose(found[0, 0, :, 0], np.array([-1, -1, 4, -1, -1]) / 5 / math.sqrt(0.161), rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_equals_every_operator_of_every_edge_on_its_own(training, rng):
    blocks, filters = 3, 2
    cell = MixedCell(blocks, filters)
    weights = _weights(cell, rng)
    states = [rng.normal(size=(2, 6, 5, filters)).astype("float32") for _ in range(2)]
    alphas = rng.dirichlet(np.ones(8), 9).astype("float32")
    known = None
    if not training:
        draw = {"mean": rng.normal, "variance": lambda size: rng.uniform(0.5, 2.0, size)}
        known = {
            f"{name}/{part}": draw[part](size=channels).astype("float32")
            for name, channels in cell.normalized().items()
            for part in draw
        }
    found, statistics = _run(cell, weights, states, alphas, known)

    def by_edge(arrays):
        parts = [plain_supernet.edges_of(name, np.asarray(array), blocks) for name, array in arrays.items()]
        return {f"cell/{name}": array for part in parts for name, array in part.items()}

    norm = plain_supernet.BatchNorm(None if training else by_edge(known))
    expected = plain_supernet.cell(*states, by_edge(weights), "cell", alphas, norm, blocks)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert np.abs(expected).max() > 1.0
    of_edges = by_edge(statistics)
    assert of_edges.keys() == norm.found.keys()
    for name, value in of_edges.items():
        np.testing.assert_allclose(value, norm.found[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_statistics_are_the_means_and_unbiased_variances(rng):
    x = rng.normal(2.0, 3.0, (2, 3, 4, 5)).astype("float32")
    gamma, beta = rng.normal(size=(2, 5)).astype("float32")
    normalize = Normalizer()
    y = normalize("name", x, gamma, beta)
    mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    np.testing.assert_allclose(y, gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta, atol=1e-5)
    np.testing.assert_allclose(normalize.found["name/mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(normalize.found["name/variance"], variance * 24 / 23, rtol=1e-5)
    known = {"name/mean": 2 * mean, "name/variance": 3 * variance}
    expected = gamma * (x - 2 * mean) / np.sqrt(3 * variance + EPSILON) + beta
    np.testing.assert_allclose(Normalizer(known)("name", x, gamma, beta), expected, atol=1e-5)


@pytest.mark.parametrize(("num_blocks", "edges"), [(1, 2), (3, 9), (5, 20)])
def test_rows_of_alphas_are_the_edges_in_their_order(num_blocks, edges):
    rows = edge_rows(num_blocks)
    assert list(rows.values()) == list(range(edges))
    assert [(block, state) for state, block in rows] == list(cell_edges(num_blocks))


def test_block_diagonal_by_hand():
    matrices = np.array([[[1, 2]], [[3, 4]]], "float32")
    np.testing.assert_array_equal(block_diagonal(matrices), [[1, 2, 0, 0], [0, 0, 3, 4]])
    np.testing.assert_array_equal(block_diagonal(matrices[:1]), [[1, 2]])
