"""From lists of raw examples to a data set."""

import functools

import numpy as np
import pytest
from own_data import CLASSES, decoded, encoded, filenames, random_image, written_files

from deeplab_dpc.data.dataset_info import pascal_palette
from deeplab_dpc.datasets.records import RawExample, build_records
from deeplab_dpc.datasets.segmentation_builder import Classes
from deeplab_dpc.errors import UserError

MEANING = Classes(tuple(CLASSES), pascal_palette(3), 255)


def read_bytes(seed):
    return encoded(random_image(seed)), f"image {seed}"


def read_ids(seed, value=1):
    return np.full((6, 8), value, np.uint8), f"label {seed}"


def example(seed, value=1):
    return RawExample(
        f"{seed}.png", functools.partial(read_bytes, seed), functools.partial(read_ids, seed, value), [seed]
    )


def unlabelled(seed):
    return RawExample(f"{seed}.png", functools.partial(read_bytes, seed), None, [seed])


def build(path, skip_bad=False, overwrite=False, **examples):
    return build_records("some", MEANING, examples, path, overwrite, skip_bad)


def test_examples_keep_their_order_and_splits(tmp_path):
    dataset = build(tmp_path, train=[example(2), example(1)], test=[unlabelled(3)], val=[])
    assert dataset.info.name == "some"
    assert dataset.info.splits == {"train": 2, "test": 1}
    assert dataset.info.unlabelled == ("test",)
    assert filenames(dataset, "train") == ["2.png", "1.png"]
    np.testing.assert_array_equal(decoded(dataset, "train")[1]["image"], np.asarray(random_image(1)))


def test_skipped_examples_are_shown_up_to_ten_and_counted(tmp_path, capsys):
    bad = [example(seed, value=9) for seed in range(12)]
    dataset = build(tmp_path, skip_bad=True, train=[*bad, example(100)], val=[example(101), example(102, value=3)])
    assert dataset.info.splits == {"train": 1, "val": 1}
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count("Skipped: The label label") == 10
    assert printed.endswith("13 examples were skipped (the first 10 are shown).")


def test_second_run_does_not_read_the_files(tmp_path):
    first = build(tmp_path, train=[example(1)])
    unread = RawExample("1.png", lambda: pytest.fail("read"), lambda: pytest.fail("read"), [1])
    assert build(tmp_path, train=[unread]) == first


def test_skip_bad_makes_no_other_inputs_where_there_was_nothing_to_skip(tmp_path, capsys):
    first = build(tmp_path, train=[example(1)])
    assert build(tmp_path, skip_bad=True, train=[example(1)]) == first
    assert "up to date" in capsys.readouterr().out
    build(tmp_path, skip_bad=True, overwrite=True, train=[example(1), example(2, value=9)])
    with pytest.raises(UserError, match="made from other inputs"):
        build(tmp_path, train=[example(1), example(2, value=9)])


def test_some_labels_in_a_split_are_an_error_that_leaves_nothing(tmp_path):
    with pytest.raises(UserError, match="1 of the 2 images of the split train have labels; all must, or none"):
        build(tmp_path, train=[example(1), unlabelled(2)])
    assert written_files(tmp_path) == []


def test_no_examples_are_an_error(tmp_path):
    with pytest.raises(UserError, match="There is no image for the data set some"):
        build(tmp_path, train=[])
