"""The confusion matrix against values computed by hand."""

import keras
import numpy as np
import pytest

from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.confusion import ConfusionMatrix


def make_example(num_classes=4):
    """Labels 0 0 0 1 1 2, predictions 0 0 1 1 1 1, and one ignored pixel; class 3 is absent."""
    confusion = ConfusionMatrix(num_classes)
    confusion.update(np.array([[0, 0, 0, 1, 1, 2, 255]], np.uint8), np.array([[0, 0, 1, 1, 1, 1, 0]], np.int32))
    return confusion


def test_rows_are_labels_and_columns_predictions():
    matrix = make_example().matrix
    assert matrix.dtype == np.int64
    assert matrix.tolist() == [[2, 1, 0, 0], [0, 2, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]


def test_iou_of_an_absent_class_is_nan_and_does_not_count():
    confusion = make_example()
    np.testing.assert_array_equal(confusion.sums().per_class_iou(), [2 / 3, 2 / 4, 0, np.nan])
    assert confusion.mean_iou() == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def test_class_that_is_only_predicted_counts_as_zero():
    confusion = ConfusionMatrix(2)
    confusion.update(np.array([0, 0]), np.array([0, 1]))
    np.testing.assert_array_equal(confusion.sums().per_class_iou(), [0.5, 0])
    assert confusion.mean_iou() == 0.25
    assert confusion.sums().mean_class_accuracy() == 0.5


def test_accuracies():
    confusion = make_example()
    assert confusion.pixel_accuracy() == pytest.approx(4 / 6)
    assert confusion.sums().mean_class_accuracy() == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert confusion.sums().frequency_weighted_iou() == pytest.approx((3 * 2 / 3 + 2 * 2 / 4 + 1 * 0) / 6)


def test_ignored_pixels_do_not_change_miou():
    confusion = make_example()
    before = confusion.mean_iou()
    confusion.update(np.full((5, 5), 255), np.zeros((5, 5), np.int64))
    assert confusion.mean_iou() == before


def test_ignore_label_may_be_a_class():
    confusion = ConfusionMatrix(3, ignore_label=0)
    confusion.update(np.array([0, 1, 2]), np.array([2, 1, 1]))
    assert confusion.matrix.tolist() == [[0, 0, 0], [0, 1, 0], [0, 1, 0]]


def test_class_of_the_ignored_id_has_no_iou_and_predicting_it_is_a_miss():
    confusion = ConfusionMatrix(3, ignore_label=0)
    confusion.update(np.array([0, 1, 1, 2]), np.array([1, 1, 0, 2]))
    np.testing.assert_array_equal(confusion.sums().per_class_iou(), [np.nan, 1 / 2, 1])
    assert confusion.mean_iou() == 0.75
    assert confusion.pixel_accuracy() == pytest.approx(2 / 3)
    assert confusion.sums().occurring(ignore_label=0) == (2, 2)


def test_miou_is_that_of_keras(rng):
    labels, predictions = rng.integers(0, 5, (2, 40, 30))
    labels[0, :20] = 255
    labels[labels == 3] = 2  # only predicted
    predictions[(predictions == 4) | (labels == 4)] = 0
    labels[labels == 4] = 0  # absent
    confusion = ConfusionMatrix(5)
    confusion.update(labels, predictions)
    metric = keras.metrics.MeanIoU(5, ignore_class=255)
    metric.update_state(labels, predictions)
    assert confusion.mean_iou() == pytest.approx(float(metric.result()), abs=1e-6)


def test_counts_add_up_over_updates():
    total = make_example()
    assert total.sums().occurring(ignore_label=255) == (3, 4)
    total.update(np.array([3, 0]), np.array([3, 1]))
    assert total.matrix.tolist() == [[2, 2, 0, 0], [0, 2, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    assert total.sums().occurring(ignore_label=255) == (4, 4)


def test_counts_pass_the_range_of_32_bits():
    confusion = ConfusionMatrix(2)
    confusion.matrix[:] = [[2**33, 0], [2**33, 0]]
    assert confusion.pixel_accuracy() == 0.5
    assert confusion.sums().labelled.tolist() == [2**33, 2**33]


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([0, 9, 7, 7], [0, 0, 0, 0], r"Labels must be in \[0, 3\] or the ignore label 255, got 7, 9\."),
        ([0, -1], [0, 0], r"Labels must be in \[0, 3\] or the ignore label 255, got -1\."),
        (list(range(4, 12)), [0] * 8, r"got 4, 5, 6, 7, 8, \.\.\.\."),
        ([0, 0], [0, 4], r"Predictions must be in \[0, 3\], got 4\."),
        ([0, 255], [0, 255], r"Predictions must be in \[0, 3\], got 255\."),
        ([0, 0], [0], r"same shape, got \(2,\) and \(1,\)"),
        ([0.0], [0], "The labels must be integers, got float64"),
        ([0], [0.5], "The predictions must be integers, got float64"),
    ],
)
def test_wrong_values_are_errors_and_nothing_is_counted(labels, predictions, message):
    confusion = ConfusionMatrix(4)
    with pytest.raises(UserError, match=message):
        confusion.update(np.array(labels), np.array(predictions))
    assert confusion.matrix.sum() == 0


def test_metrics_of_nothing_are_errors():
    confusion = ConfusionMatrix(2)
    confusion.update(np.array([255]), np.array([0]))
    for metric in (confusion.sums, confusion.mean_iou, confusion.pixel_accuracy):
        with pytest.raises(UserError, match=r"No labelled pixel was counted: .* ignore label 255"):
            metric()


def test_number_of_classes_is_checked():
    with pytest.raises(UserError, match="`num_classes` must be >= 1, got 0"):
        ConfusionMatrix(0)
