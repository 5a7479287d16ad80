"""Advice on an evaluation: which line comes for which numbers."""

import dataclasses

import numpy as np
import pytest

from deeplab_dpc.evaluation.advice import Circumstances, advice
from deeplab_dpc.evaluation.image_counts import ImageCounts

NAMES = ("road", "pole", "car")


def counts(labelled, predicted, true_positives):
    """Counts of some images, [images, classes]."""
    arrays = [np.array(one, np.int64) for one in (labelled, predicted, true_positives)]
    return ImageCounts(tuple(f"{i}.png" for i in range(len(arrays[0]))), *arrays)


GOOD = counts([[9000, 400, 2500], [9000, 0, 2500]], [[9000, 400, 2500]] * 2, [[9000, 400, 2500], [9000, 0, 2500]])


def bad(pole, predicted, right):
    """Two images, of which one shows the pole; all others are right."""
    labelled = [[9000, pole, 2500], [9000, 0, 2500]]
    return counts(labelled, [[9000, predicted, 2500], [9000, 0, 2500]], [[9000, right, 2500], [9000, 0, 2500]])


def test_nothing_is_said_of_what_is_good():
    assert advice(NAMES, GOOD, Circumstances("val", [0.9, 0.001, 0.1], (17, 17), losses=[1.0] * 20)) == ()


def test_rare_and_small_class_that_is_never_predicted():
    known = Circumstances("val", [0.8, 0.004, 0.196], has_decoder=False)
    (line,) = advice(NAMES, bad(64, 0, 0), known)
    assert line == (
        "pole has IoU 0: it is never predicted, and 64 pixels of 1 image shows it; it is rare, 0.40 % of the labelled "
        "pixels of train: --label_weights (check_data suggests some), or more images that show it; it is small, a "
        "square of 0.5 feature cells a side: --decoder_output_stride=4, larger images (--min_resize_value) or "
        "--output_stride=8."
    )


def test_short_training_is_the_first_cause():
    known = Circumstances("val", [0.5, 0.3, 0.2], crop=(17, 17), losses=[1.0] * 20, epochs=1.5)
    big = bad(90000, 0, 0)  # larger than the crops
    line, short = advice(NAMES, big, known)
    assert line == "pole has IoU 0: it is never predicted, and 90,000 pixels of 1 image shows it."
    assert short.startswith("The training has seen each image 1.5 times, which is little: train longer first")
    longer = advice(NAMES, big, dataclasses.replace(known, epochs=20.0))
    assert "it is larger than the crops" in longer[0]
    assert not any("seen each image" in line for line in longer)


def test_rare_class_gets_the_flag_that_weighs_it():
    known = Circumstances("val", [0.8, 0.004, 0.196], label_weights=(0.25, 10.0, 1.5))
    line, weights = advice(NAMES, bad(64, 0, 0), known)
    assert "0.40 % of the labelled pixels of train: --label_weights (below), or more images" in line
    assert weights == (
        "For a new training (train, search or fit) with rare classes weighed: --label_weights=0.25,10,1.5 (median "
        "frequency balancing over train, as check_data suggests)."
    )
    weighted = dataclasses.replace(known, is_weighted=True)
    (line,) = advice(NAMES, bad(64, 0, 0), weighted)
    assert "of train, in spite of the label weights: more images that show it" in line
    common = Circumstances("val", [0.5, 0.3, 0.2], label_weights=(0.25, 10.0, 1.5))
    assert not any("--label_weights" in line for line in advice(NAMES, bad(64, 0, 0), common))
    # Nor where nothing can be learned of it, or nothing is known of it.
    absent = Circumstances("val", [0.8, 0.0, 0.2], label_weights=(0.25, 1.0, 1.5))
    assert not any("--label_weights" in line for line in advice(NAMES, bad(64, 0, 0), absent))
    assert not any("--label_weights" in line for line in advice(NAMES, bad(0, 0, 0), known))


def test_class_that_is_larger_than_the_crops():
    (line,) = advice(NAMES, bad(40_000, 10_000, 10_000), Circumstances("val", [0.5, 0.3, 0.2], (129, 193)))
    assert line == (
        "pole has IoU 25.0 %; it is larger than the crops, a square of 200 pixels a side in an image and 129 x 193 "
        "pixels in a crop: a larger --train_crop_size, or smaller images (--min_resize_value)."
    )
    assert "larger than the crops" not in advice(NAMES, bad(40_000, 1, 1), Circumstances("val", crop=(257, 257)))[0]


def test_class_that_is_neither():
    (line,) = advice(NAMES, bad(4900, 4900, 490), Circumstances("val", [0.5, 0.3, 0.2]))
    assert line.startswith(
        "pole has IoU 5.3 %; with 30.0 % of train and a square of 70 pixels a side in an image it is"
    )
    assert "neither rare nor small" in line


@pytest.mark.parametrize(
    ("predicted", "said"),
    [
        (0, "pole occurs in none of the 2 images of val and was not predicted, so that nothing is known of it"),
        (1234, "pole has IoU 0 since it occurs in none of the 2 images of val and is predicted on 1,234 pixels"),
    ],
)
def test_class_that_the_split_does_not_show(predicted, said):
    (line,) = advice(NAMES, bad(0, predicted, 0), Circumstances("val"))
    assert line.startswith(said)


def test_class_that_train_does_not_show():
    (line,) = advice(NAMES, bad(64, 0, 0), Circumstances("val", [0.8, 0.0, 0.2]))
    assert line.endswith("it has 0 pixels in train, so that it cannot be learned: add images that show it.")


def test_the_worst_come_first_and_the_ignored_class_never():
    names = tuple("abcdefgh")
    labelled = np.full((1, 8), 100)
    right = np.arange(8)[np.newaxis] * 3
    lines = advice(names, counts(labelled, labelled, right), Circumstances("val"), ignored="a")
    assert [line[0] for line in lines] == ["b", "c", "d", "e", "f", "2"]
    assert lines[-1] == "2 more classes have an IoU below 50 %, or none."


@pytest.mark.parametrize(
    ("losses", "is_said"),
    [([2.0] * 20, True), ([2.0] * 10 + [1.5] * 10, False), ([2.0] * 9, False), ([1.0] * 10 + [3.0] * 10, True)],
)
def test_losses_that_do_not_fall_are_said_where_the_mean_is_bad(losses, is_said):
    poor = counts([[100, 100, 100]], [[300, 0, 0]], [[100, 0, 0]])
    lines = advice(NAMES, poor, Circumstances("val", losses=losses))
    assert any("The loss did not fall: its mean was" in line for line in lines) == is_said
    if losses == [2.0] * 20:
        assert "2.000 in the first 3 rows of metrics.csv and 2.000 in the last" in lines[-1]
