"""Overlays with a legend below them."""

import numpy as np

from deeplab_dpc.evaluation.captioned import Overlays
from deeplab_dpc.evaluation.picture_rows import GAP, LINE
from deeplab_dpc.evaluation.visualize import overlay

NAMES = ("sky", "road", "car")
PALETTE = ((200, 0, 0), (0, 200, 0), (0, 0, 200))
IMAGE = np.full((60, 200, 3), 100, np.uint8)
IDS = np.zeros((60, 200), np.int32)
IDS[30:] = 2


def has_color(picture: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((picture == color).all(axis=-1).any())


def test_legend_has_the_classes_that_occur_below_the_overlay():
    picture = Overlays(NAMES, PALETTE).draw(IMAGE, IDS)
    assert picture.shape == (60 + GAP + LINE, 200, 3)
    np.testing.assert_array_equal(picture[:60], overlay(IMAGE, IDS, PALETTE))
    assert [has_color(picture[60:], color) for color in PALETTE] == [True, False, True]


def test_any_text_may_be_a_class_name():
    names = ("line\nend", "$\\frac{$", "\udcdf\x00", "\ud800")
    image, ids = np.zeros((40, 40, 3), np.uint8), np.arange(1600).reshape(40, 40) % 4
    overlays = Overlays(names, [(0, 0, 0)] * 4)
    assert overlays.draw(image, ids).shape[0] > 40
    assert overlays.draw_frame(image, ids).shape[0] > 40


def test_no_legend_is_the_overlay_alone():
    overlays = Overlays(NAMES, PALETTE, legend=False)
    for draw in (overlays.draw, overlays.draw_frame):
        np.testing.assert_array_equal(draw(IMAGE, IDS), overlay(IMAGE, IDS, PALETTE))


def test_narrow_picture_gets_room_for_its_class_names():
    picture = Overlays(NAMES, PALETTE).draw(IMAGE[:, :10], IDS[:, :10])
    assert picture.shape[1] > 40
    np.testing.assert_array_equal(picture[:60, :10], overlay(IMAGE[:, :10], IDS[:, :10], PALETTE))
    assert [has_color(picture[60:], color) for color in PALETTE] == [True, False, True]


def test_text_of_a_wide_picture_is_larger():
    image = np.zeros((40, 2400, 3), np.uint8)
    picture = Overlays(NAMES, PALETTE).draw(image, np.zeros((40, 2400), np.int32))
    assert picture.shape[0] == 40 + GAP + 3 * LINE


def test_frames_of_a_video_have_all_classes_and_one_size():
    overlays = Overlays(NAMES, PALETTE)
    first, second = overlays.draw_frame(IMAGE, IDS), overlays.draw_frame(IMAGE, np.ones_like(IDS))
    assert first.shape == second.shape == (60 + GAP + LINE, 200, 3)
    np.testing.assert_array_equal(first[60:], second[60:])
    assert all(has_color(first[60:], color) for color in PALETTE)


def test_frames_of_many_classes_have_those_that_occur_in_half_their_height():
    palette = tuple((i, 0, 50) for i in range(150))
    overlays = Overlays([f"class {i}" for i in range(150)], palette)
    first, second = overlays.draw_frame(IMAGE, IDS + 100), overlays.draw_frame(IMAGE, np.ones_like(IDS))
    assert first.shape == second.shape == (60 + GAP + 30, 200, 3)
    assert [has_color(first[60:], palette[i]) for i in (100, 101, 102)] == [True, False, True]
