"""Random arrays by name."""

import numpy as np

from deeplab_dpc.layers.operations.seeded_draws import SeededDraws


def test_a_name_has_one_array_for_each_shape_and_distribution():
    draws = SeededDraws(3)
    first, other = draws.uniform("kernel", 2, 3), draws.uniform("kernel", 4, 5)
    assert (first.shape, other.shape, draws.normal("kernel", 2, 3).shape) == ((2, 3), (4, 5), (2, 3))
    np.testing.assert_array_equal(draws.uniform("kernel", 2, 3), first)
    np.testing.assert_array_equal(SeededDraws(3).uniform("kernel", 2, 3), first)  # whatever was drawn before
    assert not np.array_equal(draws.normal("kernel", 2, 3), first)
