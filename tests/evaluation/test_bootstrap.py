"""The bootstrap over images."""

import math

import numpy as np
import pytest

from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation import bootstrap as module
from deeplab_dpc.evaluation.bootstrap import Bootstrap, interval
from deeplab_dpc.evaluation.image_counts import ImageCounts


def counts_of(labelled, predicted, true_positives) -> ImageCounts:
    names = tuple(f"{i}.png" for i in range(len(labelled)))
    return ImageCounts(names, *(np.array(part, np.int64) for part in (labelled, predicted, true_positives)))


def test_samples_of_two_images_are_the_three_that_there_are():
    # Image 0 is right at 1 of 2 pixels, image 1 at 2 of 2: a sample has 2, 3 or 4 of 4.
    counts = counts_of([[2], [2]], [[1], [2]], [[1], [2]])
    accuracy = Bootstrap(2000).sums(counts).pixel_accuracy()
    values, frequency = np.unique(accuracy, return_counts=True)
    assert values.tolist() == [0.5, 0.75, 1.0]
    np.testing.assert_allclose(frequency / 2000, [0.25, 0.5, 0.25], atol=0.04)
    assert interval(accuracy).tolist() == [0.5, 1.0]


def test_interval_of_a_proportion_is_the_normal_one():
    right = np.arange(400)[:, np.newaxis] % 2  # half of 400 images of 1 pixel
    counts = counts_of(np.ones((400, 1)), right, right)
    low, high = interval(Bootstrap(4000).sums(counts).pixel_accuracy())
    half = 1.96 * math.sqrt(0.25 / 400)
    assert (low, high) == (pytest.approx(0.5 - half, abs=0.004), pytest.approx(0.5 + half, abs=0.004))


def test_every_sample_is_of_whole_images_and_as_many_as_there_are(rng):
    labelled = rng.integers(1, 50, (7, 3))
    ones = np.ones((7, 1), np.int64)
    sums = Bootstrap(50).sums(counts_of(ones, ones, ones))
    assert (sums.labelled == 7).all()
    three = counts_of(labelled, labelled, labelled)
    assert (Bootstrap(50).sums(three).pixel_accuracy() == 1).all()


def test_draws_depend_on_the_seed_and_not_on_the_chunks(rng, monkeypatch):
    counts = counts_of(*rng.integers(1, 9, (3, 5, 2)))
    before = Bootstrap(100, seed=1).sums(counts)
    monkeypatch.setattr(module, "CHUNK_BYTES", 7 * 8 * 5)
    np.testing.assert_array_equal(Bootstrap(100, seed=1).sums(counts).labelled, before.labelled)
    assert not np.array_equal(Bootstrap(100, seed=2).sums(counts).labelled, before.labelled)


def test_counts_of_large_pictures_stay_exact():
    large = [[2**45 + 1], [2**45 + 3]]
    sums = Bootstrap(20).sums(counts_of(large, large, large))
    assert set(sums.labelled[:, 0].tolist()) <= {2**46 + 2, 2**46 + 4, 2**46 + 6}


def test_class_that_a_sample_misses_is_left_out_of_its_interval():
    # Class 1 is in image 2 alone, with IoU 1/2; class 2 is nowhere.
    labelled, predicted, right = np.zeros((3, 3, 3), np.int64)
    labelled[:, 0] = predicted[:, 0] = right[:, 0] = 4
    labelled[2, 1], predicted[2, 1], right[2, 1] = 2, 1, 1
    sums = Bootstrap(200).sums(counts_of(labelled, predicted, right))
    iou = sums.per_class_iou()
    missed = np.isnan(iou[:, 1])
    assert 0.2 < missed.mean() < 0.4  # (2/3)^3 = 0.30
    np.testing.assert_array_equal(interval(iou), [[1, 0.5, np.nan], [1, 0.5, np.nan]])
    assert set(sums.mean_iou()[missed].tolist()) == {1.0}
    assert set(sums.mean_iou()[~missed].tolist()) == {0.75}


def test_too_few_samples_are_refused():
    with pytest.raises(UserError, match="--bootstrap_resamples must be at least 2, got 1"):
        Bootstrap(1)
