"""Masks of COCO annotations against values worked out by hand, and against what pycocotools 2.0.11 makes of them."""

import numpy as np
import pytest

from deeplab_dpc.datasets.coco_masks import decode_counts, polygon_mask, runs_mask, segmentation_mask


def picture(text):
    return np.array([[char == "#" for char in line] for line in text.split()])


def test_runs_go_down_the_columns_and_begin_with_zeros():
    np.testing.assert_array_equal(runs_mask([1, 2, 3], 3, 2), picture(".. #. #."))
    np.testing.assert_array_equal(runs_mask([0, 4, 2], 3, 2), picture("## #. #."))


def test_text_of_small_lengths_is_one_character_each():
    # 48 + 6 = "6", 48 + 2 = "2", 48 + 3 = "3"; the fourth is the difference to the second.
    assert decode_counts("623").tolist() == [6, 2, 3]
    assert decode_counts("6230").tolist() == [6, 2, 3, 2]
    assert decode_counts("623O").tolist() == [6, 2, 3, 1]  # "O" = 48 + 31: -1 in five bits


def test_text_of_large_lengths_continues_in_the_next_character():
    # 20 = 0b10100 would be negative alone: 20 + 32 = 52 goes on, with 0 after it.
    assert decode_counts(chr(48 + 52) + chr(48)).tolist() == [20]
    # 1000 = 31 * 32 + 8: 8 goes on, 31 would be negative alone and goes on, 0 ends.
    assert decode_counts(chr(48 + 8 + 32) + chr(48 + 31 + 32) + chr(48)).tolist() == [1000]


@pytest.mark.parametrize(
    ("polygon", "text", "expected"),
    [
        ([1, 1, 3, 1, 3, 3, 1, 3], "6230>", "...... .##... .##... ...... ......"),
        ([0, 0, 2, 0, 2, 2, 0, 2], "0230d0", "##.... ##.... ...... ...... ......"),
        ([1, 1, 5, 1, 1, 4], "632O1O:", "...... .###.. .##... .#.... ......"),
        ([0.5, 0.5, 3.5, 0.5, 3.5, 2.5, 0.5, 2.5], "6230009", "...... .###.. .###.. ...... ......"),
    ],
)
def test_polygons_are_pycocotools_pixel_for_pixel(polygon, text, expected):
    np.testing.assert_array_equal(polygon_mask(polygon, 5, 6), picture(expected))
    runs = {"size": [5, 6], "counts": text}
    np.testing.assert_array_equal(segmentation_mask(runs, 5, 6), picture(expected))


def test_polygons_may_leave_the_image_and_are_joined():
    left, right = [-3, -3, 1, -3, 1, 9, -3, 9], [3, 1, 9, 1, 9, 2, 3, 2]
    expected = picture("#.... #..## #....")
    np.testing.assert_array_equal(segmentation_mask([left, right], 3, 5), expected)


def test_polygon_thinner_than_a_column_has_no_pixels():
    assert polygon_mask([1.1, 0, 1.2, 0, 1.2, 5, 1.1, 5], 6, 6).sum() == 0


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "neither polygons nor run lengths"),
        ([], "neither polygons nor run lengths"),
        ([[1, 2, 3, 4]], "three or more pairs"),
        ([[1, 2, 3, 4, 5, 6, 7]], "three or more pairs"),
        ([[1, 2, 3, 4, "5", "x"]], "not a list of numbers"),
        ([[1, 1, 3, 1, 3, float("nan")]], "far outside of its image of 4 x 3 pixels"),
        ([[1, 1, 3, 1, 3, 1e12]], "far outside"),
        ({"counts": [12]}, r"its size is None but its image's is \[3, 4\]"),
        ({"size": [4, 3], "counts": [12]}, r"its size is \[4, 3\] but"),
        ({"size": [3, 4], "counts": [5, 6]}, "do not add up to the 12 pixels"),
        ({"size": [3, 4], "counts": [13, -1]}, "do not add up"),
        ({"size": [3, 4], "counts": [1.5, 10.5]}, "do not add up"),
        ({"size": [3, 4], "counts": None}, "do not add up"),
        ({"size": [3, 4], "counts": ["a"]}, "not a list of numbers"),
        ({"size": [3, 4], "counts": "6 2"}, "the character ' '"),
        ({"size": [3, 4], "counts": "6P"}, "in the middle of a number"),
        ({"size": 12, "counts": "6"}, "its size is 12 but"),
        ({"size": [3, 4], "counts": "o" * 1000}, "a number without end"),
        ({"size": [3, 4], "counts": [10**30]}, "not a list of numbers"),
        ({"size": [3, 4], "counts": [True]}, "not a list of numbers"),
        ([[1, 1, 3, 1, 3, 10**400]], "not a list of numbers"),
        ([["1", "1", "3", "1", "3", "3"]], "not a list of numbers"),
    ],
)
def test_malformed_segmentations_say_why(segmentation, message):
    with pytest.raises(ValueError, match=message):
        segmentation_mask(segmentation, 3, 4)


def test_outline_that_would_take_gigabytes_is_refused():
    zigzag = [value for corner in range(2000) for value in (60_000 * (corner % 2), corner)]
    with pytest.raises(ValueError, match=r"a polygon of it has an outline of [\d,]{11} pixels"):
        segmentation_mask([zigzag], 2000, 60_000)
