import numpy as np
import pytest
import tensorflow as tf

from deeplab_dpc.data import preprocess


def make_pair(height, width):
    """Values that tell every pixel from every other: 10 * row + column."""
    ids = 10 * np.arange(height)[:, None, None] + np.arange(width)[None, :, None]
    return tf.constant(np.repeat(ids, 3, axis=2), tf.float32), tf.constant(ids, tf.int32)


def seed(i):
    return tf.constant([7, i], tf.int64)


def in_map(function, image, label):
    """Runs function(image, label, seed) for one example inside Dataset.map."""
    dataset = tf.data.Dataset.from_tensors((image, label, seed(0)))
    return next(iter(dataset.map(function)))


def test_scaling_draws_all_of_the_discrete_factors_and_truncates_sides():
    image, label = make_pair(5, 9)
    sizes = set()
    for i in range(60):
        scaled, scaled_label = preprocess.random_scale(image, label, 0.5, 2.0, 0.5, seed(i))
        assert scaled.shape[:2] == scaled_label.shape[:2]
        sizes.add(tuple(scaled.shape[:2]))
    assert sizes == {(2, 4), (5, 9), (7, 13), (10, 18)}  # x 0.5, 1, 1.5, 2


def test_step_zero_draws_between_the_factors():
    image, label = make_pair(100, 10)
    heights = [preprocess.random_scale(image, label, 0.5, 1.0, 0.0, seed(i))[0].shape[0] for i in range(40)]
    assert 50 <= min(heights) < 60
    assert 90 < max(heights) <= 100
    assert len(set(heights)) > 15


def test_scaling_aligns_corners():
    image = tf.constant([[[0.0] * 3, [30.0] * 3]])
    label = tf.constant([[[1], [2]]])
    scaled, scaled_label = preprocess.random_scale(image, label, 2.0, 2.0, 0.25, seed(0))
    # Columns 0, 1/3, 2/3 and 1 of the way; without aligned corners it would be 0, 15, 30, 30.
    np.testing.assert_allclose(scaled[0, :, 0], [0, 10, 20, 30], rtol=1e-6)
    np.testing.assert_array_equal(scaled_label[0, :, 0], [1, 1, 2, 2])


def test_nearest_label_aligns_corners():
    label = tf.constant([[[1], [2], [3]]])
    image = tf.zeros([1, 3, 3])
    _, scaled = preprocess.random_scale(image, label, 5 / 3, 5 / 3, 1.0, seed(0))
    # Positions 0, 0.5, 1, 1.5, 2, halves rounded up; without aligned corners it would be 1, 1, 2, 2, 3.
    np.testing.assert_array_equal(scaled[0, :, 0], [1, 2, 2, 3, 3])


@pytest.mark.parametrize(
    ("low", "high", "step", "message"),
    [(0.0, 1.0, 0.1, "`min_scale_factor` must be > 0"), (0.5, 1.0, -0.1, "`scale_factor_step_size` must be >= 0")],
)
def test_bad_scale_ranges_are_refused(low, high, step, message):
    image, label = make_pair(2, 2)
    with pytest.raises(ValueError, match=message):
        preprocess.random_scale(image, label, low, high, step, seed(0))


def test_padding_goes_to_the_bottom_and_right():
    image, label = make_pair(2, 2)
    padded, padded_label = preprocess.pad_to_size(image, label, 3, 4, ignore_label=255)
    np.testing.assert_array_equal(padded[..., 1], [[0, 1, 127.5, 127.5], [10, 11, 127.5, 127.5], [127.5] * 4])
    np.testing.assert_array_equal(padded_label[..., 0], [[0, 1, 255, 255], [10, 11, 255, 255], [255] * 4])


def test_padding_leaves_larger_sides_alone():
    image, label = make_pair(3, 2)
    padded, padded_label = preprocess.pad_to_size(image, label, 2, 4, ignore_label=0)
    assert padded.shape == (3, 4, 3)
    assert padded_label.shape == (3, 4, 1)


def test_crop_cuts_the_same_window_and_reaches_every_place():
    image, label = make_pair(4, 5)
    corners = set()
    for i in range(80):
        cropped, cropped_label = preprocess.random_crop(image, label, (3, 3), seed(i))
        top, left = divmod(int(cropped_label[0, 0, 0]), 10)
        expected = 10 * np.arange(top, top + 3)[:, None] + np.arange(left, left + 3)
        np.testing.assert_array_equal(cropped_label[..., 0], expected)
        np.testing.assert_array_equal(cropped[..., 2], expected)
        corners.add((top, left))
    assert corners == {(top, left) for top in (0, 1) for left in (0, 1, 2)}


def test_crop_larger_than_the_image_is_an_error():
    image, label = make_pair(4, 5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="smaller than the crop"):
        preprocess.random_crop(image, label, (5, 5), seed(0))


def test_flip_mirrors_both_about_half_of_the_time():
    image, label = make_pair(1, 3)
    flipped = 0
    for i in range(100):
        new_image, new_label = preprocess.random_flip(image, label, seed(i))
        row = new_label[0, :, 0].numpy().tolist()
        assert new_image[0, :, 0].numpy().tolist() == row
        assert row in ([0, 1, 2], [2, 1, 0])
        flipped += row == [2, 1, 0]
    assert 35 <= flipped <= 65


@pytest.mark.parametrize(
    "function",
    [
        lambda image, label, s: preprocess.random_scale(image, label, 0.5, 2.0, 0.25, s),
        lambda image, label, s: preprocess.random_scale(image, label, 0.5, 2.0, 0.0, s),
        lambda image, label, s: preprocess.random_crop(image, label, (2, 3), s),
        preprocess.random_flip,
        lambda image, label, s: preprocess.pad_to_size(image, label, 6, 9, 255),
    ],
)
def test_eager_and_mapped_agree(function):
    image, label = make_pair(4, 5)
    for eager, mapped in zip(function(image, label, seed(0)), in_map(function, image, label), strict=True):
        np.testing.assert_array_equal(eager, mapped)
