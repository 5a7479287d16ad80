"""A run is bound to its data: classes, counts, and the records themselves."""

import dataclasses
import json
import shutil

import pytest

from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.run_data import bind, class_difference, read_run_data, write_run_data
from deeplab_dpc.errors import UserError


@pytest.fixture
def bound(shapes, tmp_path):
    """A run directory that is bound to the data set of shapes."""
    workdir = tmp_path / "run"
    write_run_data(workdir, bind(workdir, shapes, ["train", "val"]))
    return workdir


def with_info(dataset, **changes):
    return Dataset(dataset.path, dataclasses.replace(dataset.info, **changes))


def test_same_data_elsewhere_under_other_colours_is_taken(bound, shapes, tmp_path):
    moved = Dataset(shutil.copytree(shapes.path, tmp_path / "moved"), shapes.info)
    assert bind(bound, moved, ["train"]) == read_run_data(bound)
    repainted = with_info(shapes, palette=((1, 2, 3),) * 7)
    assert bind(bound, repainted, ["train"]).info.palette == ((1, 2, 3),) * 7


def test_other_classes_are_refused_with_the_first_difference(bound, shapes):
    names = shapes.info.class_names
    exchanged = with_info(shapes, class_names=(names[1], names[0], *names[2:]))
    message = rf"run holds a run on other data: .*another order: class 0 was '{names[0]}' and is '{names[1]}'; give the"
    with pytest.raises(UserError, match=message):
        bind(bound, exchanged, ["train"])
    with pytest.raises(UserError, match=r"the ignore label was 255 and is 0"):
        bind(bound, with_info(shapes, ignore_label=0), ["train"])


def test_other_records_are_refused(bound, shapes, tmp_path):
    changed = Dataset(shutil.copytree(shapes.path, tmp_path / "changed"), shapes.info)
    [shard] = changed.shards("train")
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    message = r"the records of train are others \(digest \w{8}, now \w{8}\); .*--workdir with --fork_from=.*run to"
    with pytest.raises(UserError, match=message):
        bind(bound, changed, ["train", "val"])
    assert bind(bound, changed, ["val"]).digests.keys() == {"train", "val"}


def test_run_of_a_version_without_digests_is_bound_from_then_on(bound, shapes):
    path = bound / "dataset.json"
    path.write_text(json.dumps(shapes.info.to_json()))
    assert read_run_data(bound).digests == {}
    path.write_text(json.dumps(shapes.info.to_json() | {"splits": {"train": 13, "val": 5}}))
    with pytest.raises(UserError, match="train had 13 records and has 12"):
        bind(bound, shapes, ["train"])
    path.write_text(json.dumps(shapes.info.to_json()))
    assert bind(bound, shapes, ["train"]).digests.keys() == {"train"}


@pytest.mark.parametrize("text", ["{", "[]", "7", "{}", '{"name": "a"}'])
def test_damaged_description_is_named(text, bound, shapes):
    (bound / "dataset.json").write_text(text)
    with pytest.raises(UserError, match=r"The description of the run's data .*dataset\.json is (damaged|not valid)"):
        bind(bound, shapes, ["train"])


def test_difference_of_classes_in_words():
    assert class_difference(["a", "b"], ["a", "b"]) is None
    assert class_difference(["a"], ["a", "b"]) == "there were 1 classes and are 2"
    assert class_difference(["a", "b"], ["a", "c\n"]) == r"class 1 was 'b' and is 'c\n'"
