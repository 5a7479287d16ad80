"""The separated loss against the exact one, which is its oracle."""

import numpy as np
import pytest
from keras import ops

from deeplab_dpc.search.separated_loss import SeparatedLoss
from deeplab_dpc.training.losses import SegmentationLoss

SIZES = ((5, 7), (65, 97), 4, 255)


@pytest.fixture(scope="module")
def case():
    """Smooth logits, as a trained network's, and labels with ignored regions."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(2, 3, 3, 4)).cumsum(axis=1).cumsum(axis=2)
    logits = np.repeat(np.repeat(coarse, 3, axis=1), 3, axis=2)[:, :5, :7].astype("float32")
    labels = rng.integers(0, 4, size=(2, 65, 97))
    labels[0, :20] = 255
    labels[:, 30:50, 10:33] = 255
    return logits, labels


def _separated(nodes, logits, labels):
    loss = SeparatedLoss(*SIZES, nodes=nodes)
    targets = loss.targets(labels)
    return float(loss(targets.rows(np.arange(len(labels))), ops.convert_to_tensor(logits)))


def _exact(logits, labels):
    return float(SegmentationLoss()(labels.astype("int32"), ops.convert_to_tensor(logits)))


@pytest.mark.parametrize(("nodes", "tolerance"), [(2, 2e-2), (3, 5e-3), (4, 1e-3), (8, 1e-4)])
def test_more_nodes_come_nearer_to_the_exact_loss(case, nodes, tolerance):
    assert _separated(nodes, *case) == pytest.approx(_exact(*case), rel=tolerance)


def test_gradient_is_near_the_exact_one(case):
    logits, labels = case
    direction = np.random.default_rng(1).normal(size=logits.shape).astype("float32")
    step = 0.05

    def slope(loss):
        return (loss(logits + step * direction, labels) - loss(logits - step * direction, labels)) / (2 * step)

    expected = slope(_exact)
    assert slope(lambda z, y: _separated(4, z, y)) == pytest.approx(expected, abs=0.02 * abs(expected) + 1e-3)


def test_constant_logits_are_exact_with_a_single_node(case):
    _, labels = case
    logits = np.broadcast_to(np.array([0.5, -1.0, 2.0, 0.0], "float32"), (2, 5, 7, 4))
    assert _separated(1, logits, labels) == pytest.approx(_exact(logits, labels), rel=1e-5)


def test_unlabelled_images_cost_nothing(case):
    logits, labels = case
    assert _separated(4, logits, np.full_like(labels, 255)) == 0.0


def test_bad_sizes_are_errors():
    with pytest.raises(ValueError, match=r"`feature_size` needs sides >= 2 and `nodes` >= 1, got \(1, 3\) and 4"):
        SeparatedLoss((1, 3), (1, 33), 2, 255)
