import json
import pathlib

import pytest

from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.data.dataset_info import INFO_FILE, Dataset, DatasetInfo, pascal_palette
from deeplab_dpc.errors import UserError


def make_info(name="pets"):
    return DatasetInfo(name, ("cat", "dog"), ((1, 2, 3), (4, 5, 6)), 255, {"train": 3, "val": 1}, {"train": (10, 20)})


def write_dataset(path: pathlib.Path, name="pets") -> pathlib.Path:
    path.mkdir(parents=True)
    (path / INFO_FILE).write_text(json.dumps(make_info(name).to_json()))
    return path


def test_info_survives_json():
    info = make_info()
    assert DatasetInfo.from_json(json.loads(json.dumps(info.to_json()))) == info
    assert info.num_classes == 2


def test_info_of_before_there_were_categories_still_loads():
    value = make_info().to_json()
    del value["categories"]
    assert DatasetInfo.from_json(value).categories == ()


def test_pascal_palette_has_the_published_colors():
    palette = pascal_palette(21)
    assert palette[:4] == ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))
    assert palette[8] == (64, 0, 0)
    assert palette[15] == (192, 128, 128)
    assert palette[20] == (0, 64, 128)


def test_find_dataset_takes_the_parent_or_the_folder_itself(tmp_path):
    path = write_dataset(tmp_path / "pets" / "1.0.0")
    for data_dir in (tmp_path, tmp_path / "pets", path):
        assert find_dataset(data_dir) == Dataset(path, make_info())


def test_find_dataset_prefers_the_newest_version(tmp_path):
    write_dataset(tmp_path / "pets" / "2.0.0")
    newest = write_dataset(tmp_path / "pets" / "10.0.0")
    assert find_dataset(tmp_path).path == newest


def test_find_dataset_asks_for_a_name_where_there_are_several(tmp_path):
    write_dataset(tmp_path / "pets" / "1.0.0")
    cars = write_dataset(tmp_path / "cars" / "1.0.0", "cars")
    with pytest.raises(UserError, match=r"several data sets .*--dataset=cars\|pets"):
        find_dataset(tmp_path)
    assert find_dataset(tmp_path, "cars").path == cars
    with pytest.raises(UserError, match=r"no data set 'boats' in .*; there is cars, pets"):
        find_dataset(tmp_path, "boats")


def test_find_dataset_says_how_to_build_one(tmp_path):
    with pytest.raises(UserError, match=r"There is no folder .*build-folder"):
        find_dataset(tmp_path / "absent")


def test_unfinished_preparations_are_no_datasets(tmp_path):
    write_dataset(tmp_path / "pets" / "incomplete.AB12_1.0.0")
    write_dataset(tmp_path / "pets" / ".1.0.0.x.tmp")
    with pytest.raises(UserError, match="no prepared data set"):
        find_dataset(tmp_path)


def test_damaged_metadata_is_named(tmp_path):
    path = write_dataset(tmp_path / "pets" / "1.0.0")
    (path / INFO_FILE).write_text('{"name": "pets"}')
    with pytest.raises(UserError, match=f"{INFO_FILE} lacks 'class_names'; build the data set again"):
        find_dataset(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"palette": [[1, 2, 3]]}, "one colour per class: 2, got 1"),
        ({"palette": [[1, 2, 3], [4, 5, 300]]}, "must hold .red, green, blue. of integers in 0..255"),
        ({"class_names": ["cat", "cat"]}, "has the class 'cat' more than once"),
        ({"class_names": ["cat"], "palette": [[1, 2, 3]]}, "has only the class 'cat'"),
        ({"ignore_label": 256}, "has the wrong 'ignore_label': 256"),
        ({"splits": {"train": -1}}, "has the wrong 'splits'"),
        ({"max_size": {"train": [1, 2, 3]}}, "has the wrong 'max_size'"),
        ({"unlabelled": ["elsewhere"]}, "has the wrong 'unlabelled'"),
        ({"categories": "pets"}, "`categories` in .* must be a list"),
    ],
)
def test_wrong_metadata_is_named_with_its_file(tmp_path, changes, message):
    path = write_dataset(tmp_path / "pets" / "1.0.0")
    (path / INFO_FILE).write_text(json.dumps(make_info().to_json() | changes))
    with pytest.raises(UserError, match=f"{INFO_FILE} .*{message}.*; build the data set again"):
        find_dataset(tmp_path)


def test_shards_and_fingerprint_follow_the_files_of_the_split(tmp_path):
    dataset = Dataset(write_dataset(tmp_path / "d"), make_info())
    names = ["train-00000-of-00002.tfrecord", "train-00001-of-00002.tfrecord"]
    for name in [*reversed(names), "val-00000-of-00001.tfrecord"]:
        (dataset.path / name).write_bytes(name.encode())
    assert [path.name for path in dataset.shards("train")] == names
    before = dataset.fingerprint("train")
    (dataset.path / "val-00000-of-00001.tfrecord").write_bytes(b"other")
    assert dataset.fingerprint("train") == before
    (dataset.path / names[1]).write_bytes(b"other")
    assert dataset.fingerprint("train") != before


def test_unknown_split_is_refused_with_those_that_exist(tmp_path):
    dataset = Dataset(tmp_path, make_info())
    with pytest.raises(UserError, match="no split 'test'; its splits are train, val"):
        dataset.shards("test")
    with pytest.raises(UserError, match=r"val-\* are missing"):
        dataset.shards("val")


def test_path_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"--data_dir=.*/stra\\xdfe is not a path in UTF-8; rename its folders"):
        find_dataset(tmp_path / "stra\udcdfe")
