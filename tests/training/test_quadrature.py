"""The nodes between logits, and what they are exact for."""

import numpy as np
import pytest

from deeplab_dpc.training.quadrature import AxisNodes


def test_nodes_are_gauss_nodes_of_the_pixels_of_a_cell():
    # Five pixels -1, -0.5, 0, 0.5, 1, those at the ends half: the second polynomial is x ** 2 - 1.5 / 4.
    [first, second] = AxisNodes.of(size=3, length=9, nodes=2).mix[:, 1]
    assert first == pytest.approx((1.0 - np.sqrt(0.375)) / 2.0)
    assert second == pytest.approx((1.0 + np.sqrt(0.375)) / 2.0)


def test_nodes_are_gauss_legendre_where_cells_differ_in_their_pixels():
    np.testing.assert_allclose(
        AxisNodes.of(size=3, length=10, nodes=2).mix[:, 1], 0.5 + np.array([-1, 1]) / np.sqrt(12)
    )


def _at_nodes(axis: AxisNodes, function) -> np.ndarray:
    """The values of a function of the place in cells."""
    return function(np.arange(axis.cells)[:, None] + axis.mix[:, -1]).ravel()


@pytest.mark.parametrize(("length", "nodes"), [(33, 1), (33, 3), (33, 4), (9, 3), (50, 4)])
def test_each_pixel_has_the_value_of_the_polynomial_through_the_nodes_of_its_cell(length, nodes):
    axis = AxisNodes.of(size=3, length=length, nodes=nodes)

    def polynomial(x):
        return (x - 0.7) ** (nodes - 1)

    pixels = np.linspace(0.0, 2.0, length)
    np.testing.assert_allclose(axis.to_pixels @ _at_nodes(axis, polynomial), polynomial(pixels), atol=1e-5)


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_sum_over_the_pixels_of_a_cell_is_exact_to_twice_the_degree(nodes):
    axis = AxisNodes.of(size=4, length=25, nodes=nodes)
    pixels = np.linspace(0.0, 3.0, 25)
    # The middle cell with both of its ends half, as its neighbours have the other halves.
    weights = np.where((pixels > 1.0) & (pixels < 2.0), 1.0, 0.0)
    weights[[8, 16]] = 1.0
    of_nodes = (weights @ axis.to_pixels).reshape(3, nodes)[1]

    def error(degree):
        exact = np.sum(weights[8:17] * np.array([0.5, *[1] * 7, 0.5]) * (pixels[8:17] - 1.4) ** degree)
        return abs(of_nodes @ _at_nodes(axis, lambda x: (x - 1.4) ** degree).reshape(3, nodes)[1] - exact)

    assert error(2 * nodes - 1) < 1e-5
    assert error(2 * nodes) > 1e-4


def test_single_point_has_one_node_that_weighs_all_pixels():
    axis = AxisNodes.of(size=1, length=7, nodes=4)
    np.testing.assert_array_equal(axis.to_pixels, np.ones((7, 1)))
    np.testing.assert_array_equal(axis.mix, [[1.0]])
