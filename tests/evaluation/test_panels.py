"""Panels: image, label and prediction side by side."""

import dataclasses

import numpy as np
import pytest

from deeplab_dpc.data.dataset_info import DatasetInfo
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.counted_image import count_image
from deeplab_dpc.evaluation.validation import Panels

INFO = DatasetInfo(
    name="pair",
    class_names=("road", "car"),
    palette=((200, 0, 0), (0, 200, 0)),
    ignore_label=255,
    splits={"val": 2},
    max_size={"val": (8, 8)},
)
RED, GREEN, WHITE, GREY = (200, 0, 0), (0, 200, 0), (255, 255, 255), (9, 9, 9)


def add(panels, height, width, label=0, prediction=1):
    image = np.full((height, width, 3), 9, np.uint8)
    ids = np.full((height, width), label), np.full((height, width), prediction)
    panels.add(count_image("name", image, *ids, INFO.num_classes, INFO.ignore_label))


def test_panel_shows_image_label_and_prediction_from_left_to_right():
    panels = Panels(INFO, 1, 1)
    add(panels, 40, 60, label=255)
    (panel,) = panels.draw()
    # Pictures begin below a line of 20 pixels, with gaps of 6 pixels; a line of legend follows.
    assert panel.shape == (20 + 40 + 6 + 20, 6 + 3 * (60 + 6), 3)
    for left, color in ((6, GREY), (72, WHITE), (138, GREEN)):
        assert (panel[20:60, left : left + 60] == color).all()


def test_legend_names_the_classes_that_occur():
    panels = Panels(INFO, 1, 1)
    add(panels, 40, 60, label=1, prediction=1)
    (panel,) = panels.draw()
    legend = panel[66:].reshape(-1, 3).tolist()
    assert list(GREEN) in legend
    assert list(RED) not in legend


def test_large_images_are_scaled_so_that_a_panel_is_at_most_1200_pixels_wide():
    panels = Panels(INFO, 1, 1)
    add(panels, 1024, 2048)
    assert panels.draw().shape == (1, 20 + 196 + 6 + 20, 6 + 3 * (392 + 6), 3)


def test_panels_of_images_of_several_sizes_have_one_size():
    panels = Panels(INFO, 3, 2)
    add(panels, 40, 60)
    add(panels, 60, 40)
    assert panels.draw().shape == (2, 20 + 60 + 6 + 20, 6 + 3 * (60 + 6), 3)


def test_shown_examples_are_spread_over_the_split():
    panels = Panels(INFO, 2, 6)
    for height in (40, 50, 60, 30, 10, 20):
        add(panels, height, 60)
    # The first and the fourth; a panel is as high as its highest picture.
    assert panels.draw().shape[:2] == (2, 20 + 40 + 6 + 20)


def test_many_classes_wrap_into_several_lines():
    many = dataclasses.replace(INFO, class_names=tuple(f"class {i}" for i in range(12)), palette=(RED,) * 12)
    panels = Panels(many, 1, 1)
    ids = np.arange(12).repeat(100).reshape(30, 40)
    panels.add(count_image("name", np.zeros((30, 40, 3), np.uint8), ids, ids, 12, 255))
    assert panels.draw().shape[1] > 20 + 30 + 6 + 2 * 20


def test_no_panels_are_refused():
    with pytest.raises(UserError, match="`number` of panels must be >= 1, got 0"):
        Panels(INFO, 0, 5)
