"""Boundary IoU and trimap IoU on maps small enough to count by hand, and against erosion class by class."""

import numpy as np
import pytest
from scipy import ndimage

from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.boundary import boundary_rule, trimap_rule
from deeplab_dpc.evaluation.counted_image import count_image


def stripes(*widths: int, height: int) -> np.ndarray:
    """Columns of class 0, 1, 2, ..., as wide as that; [height, sum of widths]."""
    return np.tile(np.repeat(np.arange(len(widths)), widths), (height, 1))


def count(rule, label, prediction, num_classes, ignore_label=255):
    """Numbers of labelled, predicted and rightly predicted pixels by class, [3, num_classes]."""
    image = np.zeros((*label.shape, 3), np.uint8)
    sums = rule(count_image("", image, label, prediction, num_classes, ignore_label))
    return np.stack([sums.labelled, sums.predicted, sums.true_positives])


def test_contour_that_is_one_pixel_off():
    # 6 x 6 pixels, so the distance is 1. Of the labels' class 0, columns 0 to 2, all but 4 x 1 inner pixels are near
    # the contour; of the predictions', columns 0 to 3, all but 4 x 2; both have column 0 and the ends of 1 and 2.
    labelled, predicted, both = count(boundary_rule(), stripes(3, 3, height=6), stripes(4, 2, height=6), 2)
    assert (labelled.tolist(), predicted.tolist(), both.tolist()) == ([14, 14], [16, 12], [10, 8])


def test_perfect_prediction_has_boundary_iou_1(rng):
    label = rng.integers(0, 3, (9, 11))
    labelled, predicted, both = count(boundary_rule(), label, label, 3)
    assert labelled.tolist() == predicted.tolist() == both.tolist()
    assert labelled.min() > 0


def test_ignored_pixels_belong_to_no_class_and_make_no_contour():
    rule = boundary_rule(dilation_ratio=0.14)  # 2 pixels, of a diagonal of 14.2
    label = stripes(5, 1, 5, height=9)
    label[:, 5] = 255
    prediction = label.copy()
    prediction[:, 5] = 1
    # Of the 9 x 5 pixels of class 0, those of column 4 see class 2 beyond the ignored column; rows 2 to 6 of columns
    # 2 and 3 see neither that nor the image's border.
    expected = [45 - 10, 0, 45 - 10]
    assert count(rule, label, prediction, 3).tolist() == [expected] * 3
    near = boundary_rule(dilation_ratio=0.07)  # 1 pixel: nothing of class 2 is seen
    assert count(near, label, prediction, 3).tolist() == [[45 - 7 * 4, 0, 45 - 7 * 4]] * 3


def test_prediction_of_the_ignored_class_is_a_miss_and_no_more():
    label, prediction = np.full((3, 3), 1), np.zeros((3, 3), int)
    assert count(boundary_rule(), label, prediction, 2, ignore_label=0).tolist() == [[0, 8], [0, 0], [0, 0]]
    label[0, 0] = 0
    assert count(trimap_rule(width=1), label, prediction, 2, ignore_label=0).tolist() == [[0, 3], [0, 0], [0, 0]]


@pytest.mark.parametrize("ratio", [0.02, 0.04, 0.3])  # 1, 3 and 19 pixels
def test_boundary_is_what_erosion_takes_from_each_class(rng, ratio):
    shape = (37, 53)
    label, prediction = (
        ndimage.zoom(rng.integers(0, 4, (5, 6)), (shape[0] / 5, shape[1] / 6), order=0) for _ in range(2)
    )
    distance = max(1, round(ratio * np.hypot(*shape)))
    expected = np.zeros((3, 4), int)
    for class_id in range(4):
        masks = [ids == class_id for ids in (label, prediction)]
        eroded = [ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=distance) for mask in masks]
        rims = [mask & ~inner for mask, inner in zip(masks, eroded, strict=True)]
        expected[:, class_id] = rims[0].sum(), rims[1].sum(), (rims[0] & rims[1]).sum()
    np.testing.assert_array_equal(count(boundary_rule(ratio), label, prediction, 4), expected)


@pytest.mark.parametrize(("width", "counted"), [(1, 2), (2, 4), (9, 8)])
def test_trimap_is_a_band_of_that_width_on_both_sides(width, counted):
    label = np.array([[0, 0, 0, 0, 1, 1, 1, 1]])
    labelled, predicted, both = count(trimap_rule(width), label, np.zeros_like(label), 2)
    assert labelled.tolist() == [counted / 2, counted / 2]
    assert (predicted.tolist(), both.tolist()) == ([counted, 0], [counted / 2, 0])


def test_trimap_of_an_ignored_rim_is_the_rim_dilated():
    label = np.array([[1, 1, 1, 255, 1, 1, 1, 1]])
    labelled, _, _ = count(trimap_rule(width=2), label, np.ones_like(label), 2)
    assert labelled.tolist() == [0, 4]


def test_sizes_are_checked():
    with pytest.raises(UserError, match=r"--boundary_dilation_ratio must be in \(0, 1\), got 1"):
        boundary_rule(1)
    with pytest.raises(UserError, match="--trimap_width must be at least 1 pixel, got 0"):
        trimap_rule(0)
