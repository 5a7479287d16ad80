"""The weights of the supernet before the first step, and vectors of many arrays."""

import numpy as np
import pytest

from deeplab_dpc.search.auto_deeplab.initial_weights import initial_statistics, initial_weights
from deeplab_dpc.search.auto_deeplab.layout import Layout, merged, prefixed

SHAPES = {
    "layer1/kernel": (3, 3, 20, 50),
    "layer1/depthwise_kernel": (5, 5, 400, 1),
    "layer1/pointwise_kernel": (4, 40, 50),
    "layer1/gamma": (50,),
    "layer1/beta": (50,),
    "head4/logits/kernel": (1, 1, 100, 100),
    "head4/logits/bias": (100,),
}


@pytest.mark.parametrize(
    ("name", "fan_in"), [("kernel", 3 * 3 * 20), ("depthwise_kernel", 5 * 5), ("pointwise_kernel", 40)]
)
def test_kernels_are_uniform_with_a_variance_of_2_by_fan_in(name, fan_in):
    values = Layout(SHAPES).split(initial_weights(SHAPES, seed=0))[f"layer1/{name}"].numpy()
    np.testing.assert_allclose(values.var(), 2 / fan_in, rtol=0.05)
    assert np.abs(values).max() <= np.sqrt(6 / fan_in)  # of a uniform distribution, whose variance is limit^2 / 3


def test_norms_start_as_the_identity_and_logits_small():
    own = Layout(SHAPES).split(initial_weights(SHAPES, seed=0))
    np.testing.assert_array_equal(own["layer1/gamma"], 1.0)
    np.testing.assert_array_equal(own["layer1/beta"], 0.0)
    np.testing.assert_array_equal(own["head4/logits/bias"], 0.0)
    np.testing.assert_allclose(np.std(own["head4/logits/kernel"]), 0.01, rtol=0.05)
    np.testing.assert_array_equal(initial_statistics({"a/mean": (2,), "a/variance": (3,)}), [0, 0, 1, 1, 1])


def test_weights_of_a_part_do_not_depend_on_the_others():
    alone = {"layer1/kernel": SHAPES["layer1/kernel"]}
    one = initial_weights(alone, seed=3)
    np.testing.assert_array_equal(initial_weights(SHAPES, seed=3)[: len(one)], one)
    assert not np.array_equal(initial_weights(alone, seed=4), one)
    assert not np.array_equal(initial_weights({"layer2/kernel": SHAPES["layer1/kernel"]}, seed=3), one)


def test_vector_is_cut_in_the_order_of_the_shapes():
    layout = Layout(merged([prefixed("a", {"x": (2, 2), "y": ()}), prefixed("b", {"x": (3,)})]))
    arrays = {name: np.asarray(part) for name, part in layout.split(np.arange(8.0)).items()}
    assert layout.size == 8
    assert {name: part.tolist() for name, part in arrays.items()} == {
        "a/x": [[0, 1], [2, 3]],
        "a/y": 4,
        "b/x": [5, 6, 7],
    }
    shuffled = dict(reversed(arrays.items()))
    np.testing.assert_array_equal(layout.joined(shuffled), np.arange(8.0))
