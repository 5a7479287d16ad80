"""Windows over large images: where they lie, what is averaged, and that memory follows the window's height."""

import numpy as np
import pytest

from deeplab_dpc.config import InferenceConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.sliding_window import SlidingWindow, _starts


class Places:
    """Stands for a predictor of two classes: class 1 has the probability image / 255 + the window's number / 1000."""

    num_classes = 2

    def __init__(self):
        self.shapes = []

    def predict_probabilities(self, images):
        self.shapes.append(images.shape)
        second = images[..., 0] / 255 + (len(self.shapes) - 1) / 1000
        return np.stack([1 - second, second], axis=-1).astype("float32")

    def check_size(self, image, name):
        if max(image.shape) > 8:
            raise UserError(f"{name} is too large")


def _windowed(size, overlap=0.0):
    places = Places()
    return places, SlidingWindow(places, InferenceConfig(sliding_window=size, window_overlap=overlap))


@pytest.mark.parametrize(
    ("side", "window", "overlap", "starts"),
    [
        (10, 10, 0.5, [0]),
        (10, 5, 0.0, [0, 5]),
        (11, 5, 0.0, [0, 3, 6]),
        (10, 4, 0.5, [0, 2, 4, 6]),
        (9, 4, 0.5, [0, 2, 3, 5]),
        (5, 1, 0.9, [0, 1, 2, 3, 4]),
    ],
)
def test_windows_are_spread_evenly_and_end_at_the_border(side, window, overlap, starts):
    assert _starts(side, window, overlap) == starts


def test_pixels_under_several_windows_get_the_mean():
    places, windowed = _windowed((2, 4), 0.5)
    image = np.zeros((1, 3, 6, 3), "uint8")
    found = windowed.predict_probabilities(image)[0, ..., 1] * 1000
    # Windows 0 and 1 begin in row 0, columns 0 and 2; windows 2 and 3 in row 1.
    expected = [[0, 0, 0.5, 0.5, 1, 1], [1, 1, 1.5, 1.5, 2, 2], [2, 2, 2.5, 2.5, 3, 3]]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert places.shapes == [(1, 2, 4, 3)] * 4


@pytest.mark.parametrize(("size", "overlap"), [((3, 4), 0.0), ((3, 4), 0.6), ((7, 2), 0.3), ((50, 50), 0.0)])
def test_class_ids_of_a_predictor_that_sees_pixels_alone_do_not_depend_on_windows(rng, size, overlap):
    image = rng.integers(0, 2, size=(2, 11, 13, 3)).astype("uint8") * 200
    _, windowed = _windowed(size, overlap)
    ids = windowed.predict_batch(image)
    np.testing.assert_array_equal(ids, image[..., 0] // 200)
    assert ids.dtype == np.int32


def test_side_shorter_than_the_window_is_predicted_whole():
    places, windowed = _windowed((8, 4), 0.0)
    windowed.predict_batch(np.zeros((1, 5, 8, 3), "uint8"))
    assert places.shapes == [(1, 5, 4, 3)] * 2


def test_size_is_checked_of_windows_not_of_images():
    _, windowed = _windowed((8, 8))
    windowed.check_size(np.zeros((100, 100, 3), "uint8"), "a.png")
    _, windowed = _windowed((9, 8))
    with pytest.raises(UserError, match=r"a.png is too large"):
        windowed.check_size(np.zeros((100, 100, 3), "uint8"), "a.png")


def test_memory_follows_the_rows_under_the_windows(monkeypatch):
    held = []
    original = np.zeros

    def zeros(shape, dtype):
        held.append(int(np.prod(shape)))
        return original(shape, dtype)

    _, windowed = _windowed((4, 8))
    image = original((1, 400, 16, 3), "uint8")
    monkeypatch.setattr(np, "zeros", zeros)
    windowed.predict_batch(image)
    assert max(held) == 4 * 16 * 2
