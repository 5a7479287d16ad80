"""What is said of a folder that is not a data set: what lies there, what it should be called, which command helps."""

import pytest

from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.data.found_instead import record_file_name
from deeplab_dpc.errors import UserError


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("train-00000-of-00001", "train-00000-of-00001.tfrecord"),
        ("train.record-00003-of-00010", "train-00003-of-00010.tfrecord"),
        ("val.tfrecord", "val-00000-of-00001.tfrecord"),
        ("voc-train.tfrecord-00000-of-00004", "train-00000-of-00004.tfrecord"),
        ("street_scenes.records", "street_scenes-00000-of-00001.tfrecord"),
    ],
)
def test_name_that_a_record_file_should_have(name, right):
    assert record_file_name(name) == right


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            ["train-00000-of-00001"],
            "there are train-00000-of-00001: 1 file; rename train-00000-of-00001 to train-00000-of-00001.tfrecord, "
            "with classes.json beside, or --classes",
        ),
        (["a/train.tfrecord", "a/val.tfrecord"], "rename train.tfrecord to train-00000-of-00001.tfrecord and so on"),
        (
            ["voc/4.0.0/features.json", "voc/4.0.0/voc-train.tfrecord-00000-of-00001"],
            "deeplab-dpc build-tfds --tfds_name=NAME",
        ),
        (
            ["photos/b.jpg", "photos/a.PNG"],
            r"pictures \(a.PNG, b.jpg: 2 files\); .*deeplab-dpc build-folder --images=.*/photos",
        ),
        (["notes.txt"], r"no prepared data set in .*; build one with .*build-folder"),
    ],
)
def test_what_lies_there_is_named(tmp_path, files, message):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match=message):
        find_dataset(tmp_path)


def test_missing_folder_and_file_are_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="There is no folder .*absent; give that of the data set as --data_dir"):
        find_dataset(tmp_path / "absent")
    with pytest.raises(UserError, match="file is a file; give the folder"):
        find_dataset(tmp_path / "file")
