"""Counts on the device against ConfusionMatrix, which is the oracle."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.confusion import ConfusionMatrix
from deeplab_dpc.layers import kernels
from deeplab_dpc.search.proxy.device_scoring import check_labels, confusion, cross_entropy


def _case(size, label_size, num_classes):
    """Smooth logits, as a trained network's, and labels with ignored regions."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, *size, num_classes)).cumsum(axis=1).cumsum(axis=2).astype("float32")
    labels = rng.integers(0, num_classes, size=(3, *label_size)).astype("uint8")
    labels[:, : label_size[0] // 3] = 255
    return logits, labels


def _found(logits, labels, num_classes, ignore_label=255):
    return ops.convert_to_numpy(confusion(ops.convert_to_tensor(logits), labels, num_classes, ignore_label))


def _expected(logits, labels, num_classes, ignore_label=255):
    upsampled = kernels.resize_align_corners(ops.convert_to_tensor(logits), *labels.shape[1:])
    matrix = ConfusionMatrix(num_classes, ignore_label)
    matrix.update(labels, np.argmax(ops.convert_to_numpy(upsampled), axis=-1))
    return matrix.matrix


def test_counts_of_a_small_image():
    """Class 0 has logit 0; class 1 has 1, -1 and -3 in the rows of pixels, so that it is predicted in the first."""
    logits = np.zeros((1, 2, 2, 2), "float32")
    logits[0, :, :, 1] = [[1, 1], [-3, -3]]
    labels = np.array([[[0, 1, 1], [0, 0, 255], [1, 0, 0]]], "uint8")
    found = _found(logits, labels, 2)
    assert found.dtype == np.int32
    assert found.tolist() == [[4, 1], [1, 2]]


@pytest.mark.parametrize(
    ("size", "label_size"),
    [
        ((5, 7), (65, 97)),
        ((5, 7), (64, 90)),
        ((5, 7), (33, 97)),
        ((5, 7), (5, 7)),
        ((1, 3), (1, 9)),
        ((1, 1), (4, 5)),
    ],
)
def test_counts_are_those_of_the_interpolated_logits(size, label_size):
    case = _case(size, label_size, 5)
    np.testing.assert_array_equal(_found(*case, 5), _expected(*case, 5))


def test_ignored_class_is_not_counted_as_a_label_but_as_a_prediction():
    logits, labels = _case((3, 4), (9, 13), 4)
    labels = labels % 4
    found = _found(logits, labels, 4, ignore_label=0)
    np.testing.assert_array_equal(found, _expected(logits, labels, 4, ignore_label=0))
    assert found[0].sum() == 0 < found[:, 0].sum()


def test_images_that_fill_up_a_batch_do_not_count():
    logits, labels = _case((3, 4), (9, 13), 4)
    filled = np.concatenate([labels[:2], np.full_like(labels[:1], 255)])
    np.testing.assert_array_equal(_found(logits, filled, 4), _expected(logits[:2], labels[:2], 4))


def test_counts_in_a_graph_are_the_same():
    logits, labels = _case((3, 4), (9, 13), 4)
    graph = tf.function(lambda logits, labels: confusion(logits, labels, 4, 255))
    found = graph(tf.constant(logits), tf.constant(labels)).numpy()
    np.testing.assert_array_equal(found, _expected(logits, labels, 4))


def test_labels_that_are_classes_or_ignored_pass():
    check_labels(np.array([[[0, 1]], [[255, 1]]], "uint8"), 2, 255)


def test_label_that_is_no_class_is_named():
    with pytest.raises(UserError, match=r"Labels must be in \[0, 1\] or the ignore label 255, got 7"):
        check_labels(np.array([[[0, 1]], [[7, 1]]], "uint8"), 2, 255)


def test_cross_entropy_of_a_small_image_is_that_of_its_labelled_pixels():
    """Two classes with logits 0 and 1, -1, -3 in the rows of pixels."""
    logits = np.zeros((1, 2, 2, 2), "float32")
    logits[0, :, :, 1] = [[1, 1], [-3, -3]]
    labels = np.array([[[0, 1, 1], [0, 255, 255], [1, 255, 0]]], "uint8")
    softplus = lambda x: np.log1p(np.exp(x))  # noqa: E731
    expected = softplus(1) + 2 * softplus(-1) + softplus(-1) + softplus(3) + softplus(-3)
    found = ops.convert_to_numpy(cross_entropy(ops.convert_to_tensor(logits), ops.convert_to_tensor(labels), 255))
    np.testing.assert_allclose(found, [expected], rtol=1e-6)


@pytest.mark.parametrize("label_size", [(33, 49), (32, 47), (5, 7)])
def test_cross_entropy_is_given_by_image(label_size):
    logits, labels = _case((5, 7), label_size, 4)
    labels[1] = 255
    upsampled = kernels.resize_align_corners(ops.convert_to_tensor(logits), *label_size)
    log_softmax = ops.convert_to_numpy(ops.log_softmax(upsampled))
    expected = [
        -sum(log_softmax[(image, *place, labels[(image, *place)])] for place in np.argwhere(labels[image] != 255))
        for image in range(3)
    ]
    found = ops.convert_to_numpy(cross_entropy(ops.convert_to_tensor(logits), ops.convert_to_tensor(labels), 255))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found[1] == 0.0
