"""Counts by image: their sums give what the confusion matrix gives."""

import dataclasses

import numpy as np
import pytest

from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.confusion import ConfusionMatrix
from deeplab_dpc.evaluation.image_counts import ImageCounter, ImageCounts, category_rule, class_rule

CATEGORIES = ("", "a", "b", "a", "")
IMAGE = np.zeros((1, 1, 3), np.uint8)  # is not looked at


@pytest.mark.parametrize("ignore_label", [255, 0])
def test_sums_are_those_of_the_confusion_matrix(rng, ignore_label):
    confusion = ConfusionMatrix(5, ignore_label)
    classes = ImageCounter(class_rule(5, ignore_label))
    categories = ImageCounter(category_rule(CATEGORIES, ignore_label))
    for i in range(3):
        label, prediction = rng.integers(0, 5, (2, 11, 13))
        label[:4] = ignore_label
        confusion.update(label, prediction)
        for counter in (classes, categories):
            counter.add(f"{i}.png", IMAGE, label, prediction)
    assert classes.counts().names == ("0.png", "1.png", "2.png")
    for found, expected in (
        (classes.counts().sums(), confusion.sums()),
        (categories.counts().sums(), confusion.category_sums(CATEGORIES)),
    ):
        for name in ("labelled", "predicted", "true_positives"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_counts_of_two_images_by_hand():
    counter = ImageCounter(class_rule(3, 255))
    counter.add("a", IMAGE, np.array([[0, 0, 1, 255]]), np.array([[0, 1, 1, 2]]))
    counter.add("b", IMAGE, np.array([[2, 2]]), np.array([[2, 0]]))
    counts = counter.counts()
    assert counts.labelled.tolist() == [[2, 1, 0], [0, 0, 2]]
    assert counts.predicted.tolist() == [[1, 2, 0], [1, 0, 1]]
    assert counts.true_positives.tolist() == [[1, 1, 0], [0, 0, 1]]
    assert counts.labelled.dtype == np.int64


def test_wrong_shapes_and_no_images_are_refused():
    ones = np.ones((2, 3), np.int64)
    counts = ImageCounts(("a", "b"), ones, ones, ones)
    with pytest.raises(UserError, match=r"Counts must be \[images, classes\] of 2 images"):
        dataclasses.replace(counts, predicted=ones[:1])
    with pytest.raises(UserError, match="No image was evaluated"):
        ImageCounter(class_rule(2, 255)).counts()
