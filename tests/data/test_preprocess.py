"""Augmentation: against the published order pixel by pixel, its draws, and hand-computed interpolation."""

import dataclasses

import numpy as np
import published_order
import pytest
import tensorflow as tf

from deeplab_dpc.data import preprocess
from deeplab_dpc.data.preprocess import Augmentation, draw_window

PUBLISHED = Augmentation((33, 49), 0.5, 2.0, 0.25, flip_probability=0.5)


def seed(i):
    return tf.constant([7, i], tf.int64)


@tf.function(reduce_retracing=True)
def augment(image, label, augmentation, window_seed, finish_seed):
    window = draw_window(tf.shape(label), augmentation, window_seed)
    (top, left), (height, width) = tf.unstack(window.start), tf.unstack(window.size)
    rows, columns = slice(top, top + height), slice(left, left + width)
    scaled = preprocess.scaled_image(image[rows, columns], window)
    scaled_label = preprocess.scaled_label(label[rows, columns], window)
    return preprocess.finish(scaled, scaled_label, augmentation, 255, finish_seed)


def coordinates(height, width):
    """A picture whose red and green are its rows and columns, and a label of eight regions."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows, columns, np.zeros_like(rows)], axis=-1).astype("uint8")
    return tf.constant(image), tf.constant((4 * rows // height + columns // (width // 2 + 1) * 4).astype("uint8"))


@pytest.mark.parametrize("step", [0.25, 0.0])
@pytest.mark.parametrize("size", [(40, 60), (20, 81), (97, 30), (250, 250)])
def test_same_draws_show_the_published_crop_within_half_a_source_pixel(size, step):
    augmentation = dataclasses.replace(PUBLISHED, scale_factor_step_size=step)
    image, label = coordinates(*size)
    for i in range(12):
        ours, our_label = augment(image, label, augmentation, seed(i), seed(100 + i))
        theirs, their_label = published_order.augment(image, label, augmentation, 255, seed(i), seed(100 + i))
        np.testing.assert_allclose(ours, theirs, atol=0.52)
        np.testing.assert_array_equal(our_label == 255, their_label == 255)
        assert np.mean(our_label != their_label) < 0.15  # along the borders of the regions only


def test_whole_images_and_unscaled_crops_are_the_published_ones_exactly():
    rng = np.random.default_rng(0)
    image = tf.constant(rng.integers(0, 256, (30, 41, 3), dtype="uint8"))
    label = tf.constant(rng.integers(0, 19, (30, 41), dtype="uint8"))
    for augmentation in (Augmentation((64, 90), 0.5, 2.0, 0.25), Augmentation((17, 20), flip_probability=0.5)):
        for i in range(8):
            ours, our_label = augment(image, label, augmentation, seed(i), seed(100 + i))
            theirs, their_label = published_order.augment(image, label, augmentation, 255, seed(i), seed(100 + i))
            np.testing.assert_allclose(ours, theirs, atol=1e-3)
            np.testing.assert_array_equal(our_label, their_label)


def test_window_holds_no_more_of_the_source_than_the_crop_shows():
    window = draw_window(tf.constant([1024, 2048]), Augmentation((101, 201), 2.0, 2.0), seed(1))
    # 100 and 200 steps at half a source pixel each, and the rounding of both ends.
    assert np.all(np.abs(window.size.numpy() - [51, 101]) <= 1)


def test_discrete_factors_are_all_drawn_and_equally_often():
    factors = [float(preprocess.random_scale_factor(PUBLISHED, seed(i))) for i in range(280)]
    values, counts = np.unique(factors, return_counts=True)
    np.testing.assert_allclose(values, [0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0])
    assert counts.min() > 20


def test_step_zero_draws_between_the_factors():
    augmentation = dataclasses.replace(PUBLISHED, scale_factor_step_size=0.0)
    factors = [float(preprocess.random_scale_factor(augmentation, seed(i))) for i in range(60)]
    assert 0.5 <= min(factors) < 0.7
    assert 1.8 < max(factors) <= 2.0
    assert len(set(factors)) == 60


def test_crop_reaches_every_place():
    window_starts = {
        tuple(draw_window(tf.constant([5, 4]), Augmentation((3, 3)), seed(i)).start.numpy()) for i in range(80)
    }
    assert window_starts == {(top, left) for top in range(3) for left in range(2)}


def test_interpolation_aligns_corners():
    image = tf.constant([[[0, 0, 0], [30, 30, 30]]], tf.uint8)
    label = tf.constant([[1, 2]], tf.uint8)
    scaled, scaled_label = augment(image, label, Augmentation((1, 4), 2.0, 2.0), seed(0), seed(1))
    # Columns 0, 1/3, 2/3 and 1 of the way; without aligned corners it would be 0, 7.5, 22.5, 30.
    np.testing.assert_allclose(scaled[0, :, 0], [0, 10, 20, 30], atol=1e-4)
    np.testing.assert_array_equal(scaled_label[0], [1, 1, 2, 2])


def test_padding_is_mean_and_ignore_label_at_the_bottom_and_right():
    image, label = coordinates(2, 3)
    padded, padded_label = augment(image, label, Augmentation((3, 5)), seed(0), seed(1))
    np.testing.assert_array_equal(padded[:2, :3], image)
    np.testing.assert_array_equal(padded[2], np.full((5, 3), 127.5))
    np.testing.assert_array_equal(padded[:2, 3:], np.full((2, 2, 3), 127.5))
    np.testing.assert_array_equal(padded_label == 255, [[False] * 3 + [True] * 2] * 2 + [[True] * 5])


def test_padding_is_the_mean_pixel_of_the_network():
    image, label = coordinates(2, 3)
    augmentation = Augmentation((3, 5), mean_pixel=(1.0, 2.0, 3.5))
    padded, _ = augment(image, label, augmentation, seed(0), seed(1))
    np.testing.assert_array_equal(padded[:2, :3], image)
    np.testing.assert_array_equal(padded[2], [(1.0, 2.0, 3.5)] * 5)
    np.testing.assert_array_equal(padded[:2, 3:], [[(1.0, 2.0, 3.5)] * 2] * 2)


@pytest.mark.parametrize(
    ("options", "size", "expected"),
    [
        ({"min_resize_value": 50}, (100, 200), (50, 100)),
        ({"min_resize_value": 50, "max_resize_value": 80}, (100, 200), (40, 80)),
        ({"min_resize_value": 50, "max_resize_value": 80, "resize_factor": 16}, (100, 200), (49, 81)),
        ({"min_resize_value": 200}, (100, 300), (200, 600)),
        ({}, (100, 200), (100, 200)),
    ],
)
def test_resize_to_a_range_of_sides(options, size, expected):
    resized = preprocess.resized_size(tf.constant(size), Augmentation((9, 9), **options))
    assert tuple(resized.numpy()) == expected


def test_jitter_is_off_by_default_stays_in_range_and_keeps_the_padding():
    image, label = coordinates(20, 20)
    plain, _ = augment(image, label, Augmentation((30, 20)), seed(0), seed(1))
    jittered, _ = augment(image, label, Augmentation((30, 20), photometric_jitter=0.4), seed(0), seed(1))
    np.testing.assert_array_equal(plain[:20], image)
    assert np.abs(jittered[:20] - plain[:20]).mean() > 0.5
    assert jittered.numpy().min() >= 0.0
    assert jittered.numpy().max() <= 255.0
    np.testing.assert_array_equal(jittered[20:], np.full((10, 20, 3), 127.5))


def test_jitter_by_hand():
    grey = tf.fill([2, 2, 3], 100.0)
    # A grey picture has no contrast and no saturation to change: brightness alone acts.
    brightness = tf.random.stateless_uniform([3], seed(3), 0.5, 1.5)[0]
    np.testing.assert_allclose(
        preprocess.photometric_jitter(grey, 0.5, seed(3)), np.full((2, 2, 3), 100.0 * brightness), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_scale_factor": 0.0}, "`min_scale_factor` must be > 0"),
        ({"scale_factor_step_size": -0.1}, "`scale_factor_step_size` must be >= 0"),
        ({"photometric_jitter": 1.0}, r"`photometric_jitter` must be in \[0, 1\), got 1.0"),
        ({"min_resize_value": 0}, "`min_resize_value` must be >= 1, got 0"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Augmentation((3, 3), **options)
