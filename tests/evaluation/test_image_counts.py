"""Counts by image: their sums give what the confusion matrix gives."""

import dataclasses

import numpy as np
import pytest

from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.confusion import ConfusionMatrix
from deeplab_dpc.evaluation.counted_image import count_image
from deeplab_dpc.evaluation.image_counts import ImageCounter, ImageCounts, by_class, category_rule

CATEGORIES = ("", "a", "b", "a", "")
IMAGE = np.zeros((1, 1, 3), np.uint8)  # is not looked at


@pytest.mark.parametrize("ignore_label", [255, 0])
def test_sums_are_those_of_the_confusion_matrix(rng, ignore_label):
    confusion = ConfusionMatrix(5, ignore_label)
    classes = ImageCounter(by_class)
    for i in range(3):
        label, prediction = rng.integers(0, 5, (2, 11, 13))
        label[:4] = ignore_label
        confusion.update(label, prediction)
        classes.add(count_image(f"{i}.png", IMAGE, label, prediction, 5, ignore_label))
    assert classes.counts().names == ("0.png", "1.png", "2.png")
    for name in ("labelled", "predicted", "true_positives"):
        np.testing.assert_array_equal(getattr(classes.counts().sums(), name), getattr(confusion.sums(), name))


@pytest.mark.parametrize("ignore_label", [255, 1])
def test_category_is_counted_pixel_by_pixel(rng, ignore_label):
    label, prediction = rng.integers(0, 5, (2, 11, 13))
    label[:4] = ignore_label
    counter = ImageCounter(category_rule(CATEGORIES))
    counter.add(count_image("0.png", IMAGE, label, prediction, 5, ignore_label))
    expected = {name: [0, 0, 0] for name in ("a", "b")}
    for true, found in zip(label.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        category = "" if true == ignore_label else CATEGORIES[true]
        guess = "" if found == ignore_label else CATEGORIES[found]
        if category:  # others are void
            expected[category][0] += 1
            expected[category][2] += category == guess
            if guess:
                expected[guess][1] += 1
    sums = counter.counts().sums()
    assert np.stack([sums.labelled, sums.predicted, sums.true_positives], axis=1).tolist() == [*expected.values()]


def test_category_iou_takes_the_classes_of_a_category_as_one():
    counter = ImageCounter(category_rule(("flat", "flat", "vehicle", "")))
    # road, sidewalk, car, and a class without a category
    label, prediction = np.array([[0, 0, 1, 2, 3, 2]]), np.array([[1, 0, 2, 2, 2, 3]])
    counter.add(count_image("0.png", IMAGE, label, prediction, 4, 255))
    np.testing.assert_allclose(counter.counts().sums().per_class_iou(), [2 / 3, 1 / 3])


def test_counts_of_two_images_by_hand():
    counter = ImageCounter(by_class)
    counter.add(count_image("a", IMAGE, np.array([[0, 0, 1, 255]]), np.array([[0, 1, 1, 2]]), 3, 255))
    counter.add(count_image("b", IMAGE, np.array([[2, 2]]), np.array([[2, 0]]), 3, 255))
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
        ImageCounter(by_class).counts()
