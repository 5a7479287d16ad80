import json
import pathlib

import pytest

from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.data.dataset_info import (
    INFO_FILE,
    Dataset,
    DatasetInfo,
    load_classes,
    pascal_palette,
    read_classes_file,
)
from deeplab_dpc.errors import UserError


def make_info(name="pets"):
    return DatasetInfo(name, ("cat", "dog"), ((1, 2, 3), (4, 5, 6)), 255, {"train": 3, "val": 1}, {"train": (10, 20)})


def write_dataset(path: pathlib.Path, name="pets") -> pathlib.Path:
    path.mkdir(parents=True)
    (path / INFO_FILE).write_text(json.dumps(make_info(name).to_json()))
    return path


def write_classes(tmp_path, value):
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(value))
    return path


def test_info_survives_json():
    info = make_info()
    assert DatasetInfo.from_json(json.loads(json.dumps(info.to_json()))) == info
    assert info.num_classes == 2


def test_info_of_before_there_were_categories_still_loads():
    value = make_info().to_json()
    del value["categories"]
    assert DatasetInfo.from_json(value).categories == ()


def test_categories_of_a_classes_file(tmp_path):
    path = write_classes(tmp_path, {"classes": ["car", "bus", "sky"], "categories": ["vehicle", "vehicle", ""]})
    assert read_classes_file(path).categories == ("vehicle", "vehicle", "")
    assert read_classes_file(write_classes(tmp_path, ["car"])).categories == ()


def test_pascal_palette_has_the_published_colors():
    palette = pascal_palette(21)
    assert palette[:4] == ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))
    assert palette[8] == (64, 0, 0)
    assert palette[15] == (192, 128, 128)
    assert palette[20] == (0, 64, 128)


def test_classes_as_a_plain_list_get_the_defaults(tmp_path):
    assert load_classes(write_classes(tmp_path, ["a", "b"])) == (("a", "b"), ((0, 0, 0), (128, 0, 0)), 255)


def test_classes_with_palette_and_ignore_label(tmp_path):
    path = write_classes(tmp_path, {"classes": ["a"], "palette": [[9, 8, 7]], "ignore_label": 0})
    assert load_classes(path) == (("a",), ((9, 8, 7),), 0)


def test_classes_file_tells_whether_colours_are_its_own(tmp_path):
    plain = read_classes_file(write_classes(tmp_path, ["a"]))
    assert (plain.has_palette, plain.ignore_color) == (False, None)
    own = read_classes_file(
        write_classes(tmp_path, {"classes": ["a"], "palette": [[1, 2, 3]], "ignore_color": [0, 0, 0]})
    )
    assert (own.has_palette, own.palette, own.ignore_color) == (True, ((1, 2, 3),), (0, 0, 0))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "must be a list of names or an object"),
        ([], "list of one or more non-empty names"),
        (["a", 1], "list of one or more non-empty names"),
        (["a", "b", "a"], "has the class 'a' more than once"),
        ([str(i) for i in range(257)], "has 257 classes; at most 256"),
        ({"classes": ["a"], "pallete": []}, "unknown key 'pallete'"),
        ({"classes": ["a", "b"], "palette": [[1, 2, 3]]}, "one colour per class: 2, got 1"),
        ({"classes": ["a"], "palette": [[1, 2, 256]]}, r"integers in 0..255, got \[1, 2, 256\]"),
        ({"classes": ["a"], "ignore_label": 300}, "must be an integer in 0..255, got 300"),
        ({"classes": ["a", "b"], "categories": ["x"]}, r"group name per class .*, 2 in all, got \['x'\]"),
        ({"classes": ["a"], "categories": [1]}, r"`categories` in the classes file .* got \[1\]"),
        ({"classes": ["a"], "ignore_color": [0, 0]}, r"`ignore_color` .* must be \[red, green, blue\], got \[0, 0\]"),
    ],
)
def test_bad_classes_are_refused(tmp_path, value, message):
    with pytest.raises(UserError, match=message):
        load_classes(write_classes(tmp_path, value))


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
    with pytest.raises(UserError, match=r"no prepared data set in .*build_folder\.py"):
        find_dataset(tmp_path / "absent")


def test_unfinished_preparations_are_no_datasets(tmp_path):
    write_dataset(tmp_path / "pets" / "incomplete.AB12_1.0.0")
    write_dataset(tmp_path / "pets" / ".1.0.0.x.tmp")
    with pytest.raises(UserError, match="no prepared data set"):
        find_dataset(tmp_path)


def test_damaged_metadata_is_named(tmp_path):
    path = write_dataset(tmp_path / "pets" / "1.0.0")
    (path / INFO_FILE).write_text('{"name": "pets"}')
    with pytest.raises(UserError, match=f"{INFO_FILE} is incomplete"):
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
