"""The separated loss against the exact one, which is its oracle."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from deeplab_dpc.errors import UserError
from deeplab_dpc.training.losses import SegmentationLoss
from deeplab_dpc.training.separated_loss import SeparatedLoss

CLASSES = 4


def _smooth_logits(size, seed=0):
    """Logits of two images that change slowly, as a trained network's."""
    coarse = np.random.default_rng(seed).normal(size=(2, 4, 4, CLASSES)).cumsum(axis=1).cumsum(axis=2)
    return np.repeat(np.repeat(coarse, 3, axis=1), 3, axis=2)[:, : size[0], : size[1]].astype("float32")


def _labels(size, ignore_label=255):
    """Blocks of classes, with an ignored band and an ignored corner; the images differ in how much is labelled."""
    blocks = np.random.default_rng(1).integers(0, CLASSES, (2, 9, 9))
    labels = np.kron(blocks, np.ones((1, size[0] // 9 + 1, size[1] // 9 + 1)))[:, : size[0], : size[1]].astype("uint8")
    labels[0, : size[0] // 3] = ignore_label
    labels[:, size[0] // 2 :, : size[1] // 4] = ignore_label
    return labels


def _separated(logits, labels, nodes=4, ignore_label=255, label_weights=()):
    """Loss and gradient."""
    sizes = logits.shape[1:3], labels.shape[1:], logits.shape[-1]
    loss = SeparatedLoss(*sizes, ignore_label, nodes, label_weights)
    rows = loss.targets(labels).rows(np.arange(len(labels)))
    return _with_gradient(lambda z: loss(rows, z), logits)


def _exact(logits, labels, ignore_label=255, label_weights=()):
    loss = SegmentationLoss(ignore_label, label_weights)
    return _with_gradient(lambda z: loss(labels, z), logits)


def _with_gradient(loss, logits):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(logits)
    return float(value), tape.gradient(value, logits).numpy()


def _error(found, expected):
    """Relative error of the loss, and of the gradient in the Euclidean norm."""
    (value, gradient), (exact_value, exact_gradient) = found, expected
    distance = np.linalg.norm(gradient - exact_gradient) / np.linalg.norm(exact_gradient)
    return abs(value / exact_value - 1.0), distance


# Labels that align with the logits, that do not, of which there are fewer than nodes, and sides of one.
SIZES = [
    ((5, 7), (65, 97)),
    ((2, 2), (17, 17)),
    ((6, 5), (71, 50)),
    ((9, 10), (33, 37)),
    ((1, 6), (20, 81)),
    ((4, 1), (49, 1)),
]
VARIANTS = {
    "plain": {},
    "weighted": {"label_weights": (1.0, 0.25, 3.0, 0.0)},
    "ignored id 2": {"ignore_label": 2},
    "ignored id 200, weighted": {"ignore_label": 200, "label_weights": (0.5, 2.0, 1.0, 1.0)},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("feature_size", "label_size"), SIZES)
def test_loss_and_gradient_are_near_the_exact_ones(feature_size, label_size, variant):
    options = VARIANTS[variant]
    logits = _smooth_logits(feature_size)
    labels = _labels(label_size, options.get("ignore_label", 255))
    error, gradient_error = _error(_separated(logits, labels, 6, **options), _exact(logits, labels, **options))
    assert error < 1e-3
    assert gradient_error < 5e-3


def test_more_nodes_come_nearer_to_the_exact_loss():
    logits, labels = _smooth_logits((5, 7)), _labels((65, 97))
    exact = _exact(logits, labels)
    errors = np.array([_error(_separated(logits, labels, nodes), exact) for nodes in (1, 2, 4, 8)])
    assert (errors[1:, 1] < 0.5 * errors[:-1, 1]).all(), errors
    assert errors[-1, 0] < 1e-5
    assert errors[-1, 1] < 2e-3


def test_random_labels_and_rough_logits_keep_the_label_term_exact(rng):
    # Logits of which one class is ahead by far everywhere: the normaliser is linear, and one node takes it exactly.
    logits = rng.normal(size=(2, 5, 7, CLASSES)).astype("float32")
    logits[..., 1] += 100.0
    labels = rng.integers(0, CLASSES, (2, 65, 97)).astype("uint8")
    error, gradient_error = _error(_separated(logits, labels, 2), _exact(logits, labels))
    assert error < 1e-6
    assert gradient_error < 1e-4


def test_constant_logits_are_exact_with_a_single_node():
    labels = _labels((65, 97))
    logits = np.broadcast_to(np.array([0.5, -1.0, 2.0, 0.0], "float32"), (2, 5, 7, CLASSES))
    assert _separated(logits, labels, 1)[0] == pytest.approx(_exact(logits, labels)[0], rel=1e-5)


def test_huge_logits_stay_finite():
    logits, labels = 300.0 * _smooth_logits((5, 7)), _labels((65, 97))
    value, gradient = _separated(logits, labels)
    assert value == pytest.approx(_exact(logits, labels)[0], rel=0.05)
    assert np.isfinite(gradient).all()


def test_half_precision_logits_are_summed_in_float32():
    logits, labels = _smooth_logits((5, 7)), _labels((65, 97))
    loss = SeparatedLoss((5, 7), (65, 97), CLASSES, 255)
    rows = loss.targets(labels).rows(np.arange(2))
    half = ops.cast(logits, "bfloat16")
    value = loss(rows, half)
    assert ops.dtype(value) == "float32"
    assert float(value) == pytest.approx(float(loss(rows, ops.cast(half, "float32"))), rel=1e-6)


def test_unlabelled_images_cost_nothing():
    logits, labels = _smooth_logits((5, 7)), np.full((2, 65, 97), 255, "uint8")
    value, gradient = _separated(logits, labels)
    assert value == 0.0
    assert not gradient.any()


def test_target_shapes_are_those_of_the_targets():
    loss = SeparatedLoss((1, 4), (3, 30), CLASSES, 255, nodes=3)
    targets = loss.targets(np.zeros((2, 3, 30), "uint8"))
    assert loss.target_shapes == {"label_term": (1, 4, CLASSES), "node_weights": (1, 9), "labelled": ()}
    for name, shape in loss.target_shapes.items():
        array = getattr(targets, name)
        assert (array.shape, array.dtype) == ((2, *shape), np.float32)


def test_label_term_is_the_transposed_upsampling_of_the_labels():
    # Three points over five pixels: the middle point has half of each pixel beside it.
    loss = SeparatedLoss((1, 3), (1, 5), 2, 255, label_weights=(1.0, 10.0))
    targets = loss.targets(np.array([[[0, 0, 1, 255, 1]]], "uint8"))
    np.testing.assert_allclose(targets.label_term[0, 0], [[1.5, 0.0], [0.5, 10.0], [0.0, 10.0]], rtol=1e-6)
    assert targets.node_weights.sum() == pytest.approx(1 + 1 + 10 + 10)
    assert targets.labelled == [4.0]


def test_bad_sizes_and_weights_are_errors():
    with pytest.raises(ValueError, match=r"must all be >= 1, got \(0, 3\), \(33, 33\) and 4"):
        SeparatedLoss((0, 3), (33, 33), 2, 255)
    with pytest.raises(ValueError, match=r"must all be >= 1, got \(2, 3\), \(33, 33\) and 0"):
        SeparatedLoss((2, 3), (33, 33), 2, 255, nodes=0)
    with pytest.raises(UserError, match="--label_weights has 3 weights, but there are 2 classes"):
        SeparatedLoss((2, 3), (33, 33), 2, 255, label_weights=(1.0, 2.0, 3.0))


def test_labels_that_are_no_class_are_named():
    loss = SeparatedLoss((2, 2), (17, 17), 2, 255)
    labels = np.zeros((1, 17, 17), "uint8")
    labels[0, 0, :2] = 2, 9
    with pytest.raises(UserError, match="The labels have the ids 2,9, which are none of the 2 classes nor the ignore"):
        loss.targets(labels)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("feature_size", "label_size"), SIZES)
def test_training_takes_the_same_from_the_labels_of_a_batch(feature_size, label_size, variant):
    options = VARIANTS[variant]
    logits = _smooth_logits(feature_size)
    labels = _labels(label_size, options.get("ignore_label", 255))
    expected, expected_gradient = _separated(logits, labels, 3, **options)
    loss = SegmentationLoss(quadrature_nodes=3, **options)
    value, gradient = _with_gradient(lambda z: loss(labels.astype("int32"), z), logits)
    assert value == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-5 * np.abs(expected_gradient).max())


def test_images_of_a_batch_add_up_to_its_loss():
    logits, labels = _smooth_logits((5, 7)), _labels((65, 97))
    loss = SegmentationLoss(quadrature_nodes=2)
    count = loss.labelled_pixels(labels, (5, 7))
    pieces = [loss.parts(labels[i : i + 1], tf.constant(logits[i : i + 1]), 0, count, 0.5) for i in range(2)]
    assert sum(float(piece["cross_entropy"]) for piece in pieces) == pytest.approx(
        float(loss(labels, logits)), rel=1e-6
    )


def test_batch_of_unknown_size_is_no_other():
    logits, labels = _smooth_logits((5, 7)), _labels((65, 97))
    loss = SegmentationLoss(quadrature_nodes=2)
    signature = [tf.TensorSpec((None, 65, 97), tf.int32), tf.TensorSpec((None, 5, 7, CLASSES))]
    traced = tf.function(loss, input_signature=signature)
    assert float(traced(labels.astype("int32"), logits)) == pytest.approx(float(loss(labels, logits)), rel=1e-6)


def test_training_on_a_label_that_is_no_class_is_not_finite():
    labels = np.zeros((1, 17, 17), "int32")
    labels[0, 3, 3] = CLASSES
    assert np.isnan(float(SegmentationLoss(quadrature_nodes=2)(labels, np.zeros((1, 2, 2, CLASSES), "float32"))))
