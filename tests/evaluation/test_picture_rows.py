"""Pictures side by side and the legend below them; panels and the page of the worst images are made of these."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from deeplab_dpc.data.dataset_info import DatasetInfo
from deeplab_dpc.evaluation.picture_rows import (
    BACKGROUND,
    GAP,
    IGNORED_COLOR,
    LINE,
    draw_legend,
    draw_row,
    example_pictures,
    legend_entries,
    scaled,
    stacked,
)

INFO = DatasetInfo(
    name="pair",
    class_names=("road", "car"),
    palette=((200, 0, 0), (0, 200, 0)),
    ignore_label=255,
    splits={"val": 1},
    max_size={"val": (8, 8)},
)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1024, 2048), (392, 196)), ((784, 10), (5, 392)), ((1, 4000), (392, 1)), ((40, 60), (60, 40))],
)
def test_larger_side_is_at_most_392_pixels(size, expected):
    assert scaled(np.zeros((*size, 3), np.uint8), Image.Resampling.NEAREST).size == expected


def test_legend_has_the_given_classes_by_id_and_ignored_pixels():
    assert legend_entries(INFO, {255, 1}) == [((0, 200, 0), "car"), (IGNORED_COLOR, "ignored")]
    assert legend_entries(dataclasses.replace(INFO, ignore_label=0), {1, 0}) == [
        (IGNORED_COLOR, "ignored"),
        ((0, 200, 0), "car"),
    ]


def test_an_ignored_class_has_the_colour_of_the_legend():
    ids = np.array([[0, 1]])
    _, label, _ = example_pictures(dataclasses.replace(INFO, ignore_label=0), np.zeros((1, 2, 3), np.uint8), ids, ids)
    np.testing.assert_array_equal(np.asarray(label), [[IGNORED_COLOR, (0, 200, 0)]])


def test_row_has_each_picture_below_its_caption():
    pictures = [Image.new("RGB", (30, 10), "red"), Image.new("RGB", (20, 10), "blue")]
    row = np.asarray(draw_row(["", ""], pictures, (10, 30)))
    assert row.shape == (LINE + 10, 2 * (30 + GAP) + GAP, 3)
    assert (row[LINE:, GAP : GAP + 30] == (255, 0, 0)).all()
    assert (row[LINE:, 2 * GAP + 30 : 2 * GAP + 50] == (0, 0, 255)).all()
    assert (row[LINE:, 2 * GAP + 50 :] == BACKGROUND).all()


def test_legend_wraps_at_the_width():
    entries = legend_entries(INFO, {0, 1, 255})
    assert draw_legend(entries, 600).size == (600, LINE)
    assert draw_legend(entries, 60).size == (60, 3 * LINE)


def test_stacked_pictures_lie_below_each_other():
    picture = np.asarray(stacked([Image.new("RGB", (4, 2), "red"), Image.new("RGB", (4, 3), "blue")], gap=1))
    assert picture.shape == (6, 4, 3)
    assert (picture[:2] == (255, 0, 0)).all()
    assert (picture[2] == BACKGROUND).all()
    assert (picture[3:] == (0, 0, 255)).all()
