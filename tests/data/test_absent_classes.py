"""Labels whose ids cannot mean what the classes say: found by the check, and before a training."""

import json

import numpy as np
import pytest

from deeplab_dpc.data.absent_classes import (
    LABEL_COUNTS_FILE,
    absent_class_problem,
    read_label_counts,
    write_label_counts,
)
from deeplab_dpc.data.dataset_info import Dataset, DatasetInfo, pascal_palette
from deeplab_dpc.errors import UserError


def info(*names, allow=False):
    splits = {"train": 1, "val": 1}
    sizes = dict.fromkeys(splits, (10, 10))
    return DatasetInfo("d", names, pascal_palette(len(names)), 255, splits, sizes, allow_absent_classes=allow)


def counts(**pixels):
    """Counts by split of {id: pixels}."""
    made = {split: np.zeros(256, np.int64) for split in pixels}
    for split, by_id in pixels.items():
        for i, number in by_id.items():
            made[split][i] = number
    return made


def test_class_that_never_occurs_beside_ignored_pixels_is_named_with_its_flag():
    pixels = counts(train={0: 900, 255: 50}, val={0: 43, 255: 7})
    assert absent_class_problem(pixels, "train", info("background", "object")) == (
        "255 covers 5.7 % of the labels' pixels and is ignored, and the class object never occurs; if 255 means "
        "object, build the data set again with --label_map=255:1,*:same, and if it is ignored rightly, say so with "
        '--label_map=255:255,*:same or, in the classes file, "allow_absent_classes": true'
    )


def test_first_of_several_absent_classes_is_the_likely_one():
    problem = absent_class_problem(counts(train={0: 9, 1: 9, 255: 2}), "train", info("a", "b", "c", "d"))
    assert "the classes c, d never occur; if 255 means c, build the data set again with --label_map=255:2" in problem


@pytest.mark.parametrize(
    "pixels",
    [
        {"train": {0: 9, 1: 9, 2: 1, 255: 2}},  # all classes occur
        {"train": {0: 9, 1: 9}},  # one does not, but nothing is ignored
        {"train": {0: 9, 1: 9, 255: 1}, "val": {2: 1}},  # it occurs in the other split
    ],
)
def test_rare_classes_and_ignored_pixels_alone_are_no_problem(pixels):
    assert absent_class_problem(counts(**pixels), "train", info("a", "b", "c")) is None


def test_one_class_alone_in_the_training_split_is_a_problem_whatever_val_holds():
    pixels = counts(train={0: 75, 255: 25}, val={0: 50, 1: 50})
    problem = absent_class_problem(pixels, "train", info("a", "b"))
    assert problem.startswith(
        "255 covers 25.0 % of the pixels of train and is ignored, and the class b does not occur in"
    )
    assert "all labelled pixels of train are of the class a" in absent_class_problem(
        counts(train={0: 100}), "train", info("a", "b")
    )


def test_user_may_say_that_classes_are_absent():
    assert absent_class_problem(counts(train={0: 75, 255: 25}), "train", info("a", "b", allow=True)) is None


def test_counts_are_kept_and_read_again(tmp_path):
    pixels = counts(train={0: 3, 255: 2**40}, val={1: 1})
    write_label_counts(tmp_path, pixels)
    read = read_label_counts(Dataset(tmp_path, info("a", "b")))
    assert {split: by_id.tolist() for split, by_id in read.items()} == {
        split: by_id.tolist() for split, by_id in pixels.items()
    }


@pytest.mark.parametrize("value", [[], {"train": {}}, {"train": {"x": 1}, "val": {}}, {"train": {"0": -1}, "val": {}}])
def test_damaged_counts_are_named(tmp_path, value):
    (tmp_path / LABEL_COUNTS_FILE).write_text(json.dumps(value))
    with pytest.raises(UserError, match=f"{LABEL_COUNTS_FILE} are damaged; build the data set again"):
        read_label_counts(Dataset(tmp_path, info("a", "b")))
