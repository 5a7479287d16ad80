"""The page of the worst images: which are kept, and what is drawn of them."""

import dataclasses

import numpy as np
import pytest

from deeplab_dpc.data.dataset_info import DatasetInfo
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation import worst
from deeplab_dpc.evaluation.counted_image import count_image
from deeplab_dpc.evaluation.worst import WorstImages

INFO = DatasetInfo(
    name="trio",
    class_names=("road", "car", "tree"),
    palette=((200, 0, 0), (0, 200, 0), (0, 0, 200)),
    ignore_label=255,
    splits={"val": 9},
    max_size={"val": (8, 8)},
)
HEADING, LINE, GAP = 26, 20, 6  # heights of a heading and of a line of text, space between pictures
COLUMN = worst.CELL_WIDTH + GAP  # of pictures that are narrower
RED, GREEN, BLUE, WHITE = (200, 0, 0), (0, 200, 0), (0, 0, 200), (255, 255, 255)
GREY = (60, 60, 60)  # 0.6 of an image that is 100 everywhere


def scene(wrong, height=200, ignored=0):
    """An image, its label 0 with `ignored` columns of 255, and a prediction with `wrong` of 200 columns of class 1."""
    image = np.full((height, 200, 3), 100, np.uint8)
    label, prediction = np.zeros((height, 200), np.uint8), np.zeros((height, 200), np.int32)
    prediction[:, :wrong] = 1
    label[:, 200 - ignored :] = 255
    return image, label, prediction


def add_image(page, name, image, label, prediction):
    page.add(count_image(name, image, label, prediction, page.info.num_classes, page.info.ignore_label))


def add(page, *scenes):
    for number, (wrong, height) in enumerate(scenes):
        add_image(page, f"{number}.jpg", *scene(wrong, height))


def headings(page):
    return [example.heading for example in page._kept]


def test_columns_show_image_label_prediction_and_errors():
    page = WorstImages(INFO, 1)
    add_image(page, "a.jpg", *scene(wrong=50, ignored=20))
    picture = page.draw()
    assert picture.shape == (HEADING + LINE + 200 + 2 * GAP + LINE, 4 * COLUMN + GAP, 3)
    top = HEADING + LINE
    image, label, prediction, errors = (
        picture[top : top + 200, left : left + 200] for left in range(GAP, 4 * COLUMN, COLUMN)
    )
    assert (image == 100).all()
    assert (label[:, :180] == RED).all()
    assert (label[:, 180:] == WHITE).all()
    assert (prediction[:, :50] == GREEN).all()
    assert (prediction[:, 50:] == RED).all()
    assert (errors[:, :50] == worst.WRONG_COLOR).all()
    assert (errors[:, 50:180] == GREY).all()
    assert (errors[:, 180:] == WHITE).all()


def test_only_the_worst_are_kept_the_worst_first():
    page = WorstImages(INFO, 2)
    add(page, (20, 50), (120, 60), (0, 70), (80, 80), (40, 90))
    # Class 0 has IoU 1 - wrong / 200, class 1 has 0.
    assert headings(page) == [
        "1.jpg: mean IoU 0.200; car lowers the mean most, IoU 0.000, mostly predicted where road is",
        "3.jpg: mean IoU 0.300; car lowers the mean most, IoU 0.000, mostly predicted where road is",
    ]
    assert page.draw().shape[0] == 2 * (HEADING + LINE + 2 * GAP) + 60 + 80 + LINE


def test_of_equal_scores_the_earlier_is_kept():
    page = WorstImages(INFO, 2)
    add(page, (40, 50), (40, 60), (40, 70))
    assert [heading[:5] for heading in headings(page)] == ["0.jpg", "1.jpg"]


def test_pictures_are_made_of_kept_images_only(monkeypatch):
    made = []
    monkeypatch.setattr(worst, "example_pictures", lambda *args: made.append(1) or [])
    page = WorstImages(INFO, 1)
    add(page, (100, 50), (40, 50), (60, 50), (120, 50), (10, 50))
    assert len(made) == 2
    assert len(page._kept) == 1


def test_ignored_pixels_do_not_change_the_score():
    page = WorstImages(INFO, 1)
    image, label, prediction = scene(wrong=100, ignored=100)
    prediction[:, 150:] = 2
    add_image(page, "a.jpg", image, label, prediction)
    # 100 counted columns of class 0, all predicted as 1; class 2 occurs in ignored pixels only.
    (example,) = page._kept
    assert example.score == 0
    assert example.wrong == 1
    assert example.heading.endswith("road lowers the mean most, IoU 0.000, mostly predicted as car")


def test_perfect_image_has_no_costliest_class():
    page = WorstImages(INFO, 1)
    add(page, (0, 50))
    assert headings(page) == ["0.jpg: mean IoU 1.000; no pixel is wrong"]


def test_images_without_a_labelled_pixel_have_no_score():
    page = WorstImages(INFO, 1)
    image, label, prediction = scene(wrong=10)
    add_image(page, "a.jpg", image, np.full_like(label, 255), prediction)
    with pytest.raises(UserError, match="no worst images to draw: none was given, or none has a labelled pixel"):
        page.draw()


def test_an_ignored_class_of_the_network_is_drawn_as_ignored():
    page = WorstImages(dataclasses.replace(INFO, ignore_label=0), 1)
    image, label, prediction = scene(wrong=0)
    label[:, :150], prediction[:, :150] = 2, 2
    add_image(page, "a.jpg", image, label, prediction)
    picture = page.draw()[HEADING + LINE :]
    assert tuple(picture[0, GAP + COLUMN + 149]) == BLUE
    assert tuple(picture[0, GAP + COLUMN + 150]) == WHITE


def test_narrow_images_leave_room_for_headings():
    page = WorstImages(INFO, 1)
    add_image(page, "a.jpg", *(array[:, :20] for array in scene(wrong=10)))
    assert page.draw().shape[1] == 4 * COLUMN + GAP


def test_none_are_refused():
    with pytest.raises(UserError, match="`number` of images must be >= 1, got 0"):
        WorstImages(INFO, 0)
