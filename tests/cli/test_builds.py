"""What follows a conversion: the check of the records, once."""

import json

import numpy as np
import pytest
from PIL import Image

from deeplab_dpc.cli.main import execute
from deeplab_dpc.data.absent_classes import LABEL_COUNTS_FILE
from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.data.foreign_records import check_labels
from deeplab_dpc.errors import UserError


@pytest.fixture
def flags(tmp_path):
    """Three pairs of 40 x 50 pixels, and the flags that convert them."""
    rng = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    for name in "abc":
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype="uint8")).save(tmp_path / "images" / f"{name}.png")
        label = np.zeros((40, 50), "uint8")
        label[10:20] = 1
        Image.fromarray(label).save(tmp_path / "labels" / f"{name}.png")
    (tmp_path / "classes.json").write_text(json.dumps(["ground", "bar"]))
    given = {"images": "images", "labels": "labels", "classes": "classes.json", "data_dir": "data"}
    return [f"--{name}={tmp_path / path}" for name, path in given.items()]


def test_conversion_is_checked_and_draws_a_contact_sheet_once(flags, tmp_path, capsys):
    assert execute("build_folder", flags) == 0
    said = capsys.readouterr().out
    assert "2 train, 1 val; 2 classes" in said
    assert "No problems were found." in said
    folder = tmp_path / "data" / "folder" / "1.0.0" / "check"
    assert json.loads((folder / "check_data.json").read_text())["errors"] == []
    with Image.open(folder / "contact_sheet.png") as sheet:
        assert min(sheet.size) > 50
    before = (folder / "check_data.json").stat().st_mtime_ns
    assert execute("build_folder", flags) == 0
    assert "up to date; nothing to do" in capsys.readouterr().out
    assert (folder / "check_data.json").stat().st_mtime_ns == before


def test_data_dir_that_cannot_be_written_is_named(flags, capsys):
    assert execute("build_folder", [*flags, "--data_dir=/proc/D"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("build_folder: --data_dir=/proc/D cannot be written (")
    assert said.endswith("); give another --data_dir, or permission to write there.\n")


def test_check_may_be_left_out(flags, tmp_path):
    assert execute("build_folder", [*flags, "--nocheck"]) == 0
    assert not (tmp_path / "data" / "folder" / "1.0.0" / "check").exists()


def make_binary(tmp_path):
    """Turns the labels into masks of 0 and 255."""
    for path in (tmp_path / "labels").iterdir():
        Image.fromarray(np.asarray(Image.open(path)) * np.uint8(255)).save(path)


def test_masks_of_0_and_255_are_an_error_each_time_until_the_named_flag_is_given(flags, tmp_path, capsys):
    make_binary(tmp_path)
    for _ in range(2):  # the second time the data set is there already
        assert execute("build_folder", flags) == 2
        said = capsys.readouterr().err
        assert "255 covers 25.0 % of the labels' pixels and is ignored, and the class bar never occurs" in said
        assert "--label_map='255:1,*:same' --overwrite" in said
    assert execute("build_folder", [*flags, "--label_map=255:1,*:same", "--overwrite"]) == 0
    assert "No problems were found." in capsys.readouterr().out


def test_training_on_masks_of_0_and_255_is_refused_with_the_flag(flags, tmp_path):
    make_binary(tmp_path)
    assert execute("build_folder", [*flags, "--nocheck"]) == 0
    dataset = find_dataset(tmp_path / "data")
    with pytest.raises(UserError, match=r"cannot be trained on: 255 covers 25.0 % .*--label_map='255:1,\*:same'"):
        check_labels(dataset, "train")
    (dataset.path / LABEL_COUNTS_FILE).unlink()  # as built before there were counts
    with pytest.raises(UserError, match=r"cannot be trained on: 255 covers 25.0 %"):
        check_labels(dataset, "train")


def test_ignored_pixels_beside_an_absent_class_may_be_meant(flags, tmp_path, capsys):
    make_binary(tmp_path)
    assert execute("build_folder", [*flags, "--label_map=255:255,*:same"]) == 0
    assert "the class bar does not occur in train" in capsys.readouterr().out


def test_splits_without_train_are_said(flags, tmp_path, capsys):
    text = "".join(f"{name}.png,{name}.png,training\n" for name in "abc")
    (tmp_path / "list.csv").write_text(text)
    assert execute("build_folder", [*flags, "--nocheck", f"--list={tmp_path / 'list.csv'}"]) == 0
    said = capsys.readouterr().out
    assert "(3 training; 2 classes)" in said
    assert "there is no split train, which deeplab-dpc train uses unless --train_split names another" in said


def test_class_that_is_the_ignore_label_is_said(flags, tmp_path, capsys):
    (tmp_path / "classes.json").write_text(json.dumps({"classes": ["ground", "bar", "void"], "ignore_label": 2}))
    assert execute("build_folder", [*flags, "--nocheck"]) == 0
    assert "The class void is ignored: its id 2 is the ignore label." in capsys.readouterr().out
