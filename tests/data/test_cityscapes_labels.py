"""Cityscapes' two kinds of ids."""

import numpy as np
import pytest

from deeplab_dpc.data.cityscapes_labels import CLASSES, TRAIN_ID_OF_LABEL_ID, label_ids

# The label ids that cityscapesscripts gives the train ids 0 to 18; all others are ignored.
LABEL_IDS = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]


def test_label_ids_invert_the_train_ids():
    predicted = np.array([[0, 5, 10, 18], [255, 16, 13, 3]])
    np.testing.assert_array_equal(label_ids(predicted), [[7, 17, 23, 33], [0, 31, 26, 12]])
    assert label_ids(predicted).dtype == np.uint8
    every = np.arange(19, dtype=np.uint8)
    assert label_ids(every).tolist() == LABEL_IDS
    assert [TRAIN_ID_OF_LABEL_ID[value] for value in LABEL_IDS] == every.tolist()


def test_classes_are_in_the_order_of_their_train_ids():
    assert [row.train_id for row in CLASSES] == list(range(19))


def test_categories_are_the_official_seven():
    assert {row.name: row.category for row in CLASSES if row.train_id in (1, 4, 7, 9, 10, 12, 18)} == {
        "sidewalk": "flat",
        "fence": "construction",
        "traffic sign": "object",
        "terrain": "nature",
        "sky": "sky",
        "rider": "human",
        "bicycle": "vehicle",
    }
    assert len({row.category for row in CLASSES}) == 7


@pytest.mark.parametrize("value", [19, -1, 256])
def test_label_ids_of_what_is_no_train_id_are_refused(value):
    with pytest.raises(ValueError, match=f"`train_ids` must all be 0 to 18 or 255, got {value}"):
        label_ids(np.array([0, value]))
