"""Labels that contradict the classes: found by the check, and before a training."""

import json

import numpy as np
import pytest

from deeplab_dpc.data.absent_classes import (
    LABEL_COUNTS_FILE,
    MixedMasks,
    absent_class_problem,
    read_label_counts,
    read_labelled_with,
    write_label_counts,
)
from deeplab_dpc.data.dataset_info import Dataset, DatasetInfo, pascal_palette
from deeplab_dpc.data.label_statistics import SplitCounts
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
        "object, build the data set again with --label_map='255:1,*:same' --overwrite, and if it is meant to be "
        "ignored, confirm this with --label_map='255:255,*:same' --overwrite (or --overwrite and, "
        'in the classes file, "allow_absent_classes": true)'
    )


def test_first_of_several_absent_classes_is_the_likely_one():
    problem = absent_class_problem(counts(train={0: 9, 1: 9, 255: 2}), "train", info("a", "b", "c", "d"))
    assert "the classes c, d never occur; if 255 means c, build the data set again with --label_map='255:2" in problem


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


def test_class_that_another_split_lacks_is_a_problem_where_it_alone_ignores_pixels():
    train = {0: 75, 1: 25}
    problem = absent_class_problem(counts(train=train, val={0: 75, 255: 25}), "train", info("a", "b"))
    assert problem.startswith(
        "255 covers 25.0 % of the pixels of val and is ignored, and the class b does not occur in"
    )
    assert "--label_map='255:1,*:same' --overwrite" in problem
    assert absent_class_problem(counts(train=train, val={0: 9, 255: 1}), "train", info("a", "b", allow=True)) is None
    for ordinary in (
        counts(train={0: 70, 1: 25, 255: 5}, val={0: 75, 255: 25}),  # pixels are ignored in both
        counts(train=train, val={0: 100}),  # nothing is ignored
        counts(train=train, val={255: 100}),  # nothing is labelled
        counts(train=train, val={0: 50, 1: 25, 255: 25}),  # the class occurs
    ):
        assert absent_class_problem(ordinary, "train", info("a", "b")) is None


def mixed(of, *labels):
    """What is said of labels of these ids."""
    masks = MixedMasks(of)
    for number, ids in enumerate(labels):
        masks.add(f"{number}.png", np.bincount(ids, minlength=256))
    return masks.problem()


def test_masks_of_0_and_255_among_masks_of_0_and_1_are_named():
    labels = [[0, 1], [0, 255], [0, 1], [0, 255], [0, 255], [0], [0, 255]]
    problem = mixed(info("bg", "obj"), *labels)
    assert problem.startswith(
        "255 is ignored in 4 labels (1.png, 3.png, 4.png, ...), where the class obj does not occur, and obj occurs in "
        "2 labels (0.png, 2.png), where 255 does not; if 255 means obj, build the data set again with "
        "--label_map='255:1,*:same' --overwrite, and if it is meant to be ignored, confirm this with "
        "--label_map='255:255,*:same'"
    )
    assert mixed(info("bg", "obj", allow=True), *labels) is None


@pytest.mark.parametrize(
    "labels",
    [
        [[0, 1, 255], [0, 255], [0, 1]],  # ignored outlines, and an image without the class
        [[0, 1], [0], [0, 1]],  # nothing ignored
        [[0, 1], [255]],  # a label that is ignored whole
        [[0, 1], [0, 1, 255], [0, 255], *[[0, 255]] * 9],  # both in one label for ten of the other kind
    ],
)
def test_rightly_ignored_pixels_are_no_mixture(labels):
    assert mixed(info("bg", "obj"), *labels) is None


def test_mixture_is_looked_for_between_two_classes_alone():
    assert mixed(info("a", "b", "c"), [0, 1], [0, 255]) is None


def test_user_may_say_that_classes_are_absent():
    assert absent_class_problem(counts(train={0: 75, 255: 25}), "train", info("a", "b", allow=True)) is None


def test_counts_are_kept_and_read_again(tmp_path):
    pixels = counts(train={0: 3, 255: 2**40}, val={1: 1})
    labelled_with = counts(train={0: 7, 255: 2**41}, val={1: 2})
    splits = {split: SplitCounts(pixels=pixels[split], labelled_with=labelled_with[split]) for split in pixels}
    write_label_counts(tmp_path, splits)
    dataset = Dataset(tmp_path, info("a", "b"))
    for read, written in ((read_label_counts(dataset), pixels), (read_labelled_with(dataset), labelled_with)):
        assert {split: by_id.tolist() for split, by_id in read.items()} == {
            split: by_id.tolist() for split, by_id in written.items()
        }


def test_counts_of_an_earlier_version_have_no_labelled_pixels(tmp_path):
    (tmp_path / LABEL_COUNTS_FILE).write_text('{"train": {"0": 3}, "val": {"1": 1}}')
    dataset = Dataset(tmp_path, info("a", "b"))
    assert read_label_counts(dataset)["train"][0] == 3
    assert read_labelled_with(dataset) is None
    assert read_labelled_with(Dataset(tmp_path / "elsewhere", info("a", "b"))) is None


@pytest.mark.parametrize("value", [[], {"train": {}}, {"train": {"x": 1}, "val": {}}, {"train": {"0": -1}, "val": {}}])
def test_damaged_counts_are_named(tmp_path, value):
    (tmp_path / LABEL_COUNTS_FILE).write_text(json.dumps(value))
    with pytest.raises(UserError, match=f"{LABEL_COUNTS_FILE} are damaged; build the data set again"):
        read_label_counts(Dataset(tmp_path, info("a", "b")))
