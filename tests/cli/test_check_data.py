"""check-data as a user meets it: tables or JSON, where the files go, and the exit status."""

import json
import os

import numpy as np
import pytest

from deeplab_dpc.cli.main import execute
from deeplab_dpc.datasets.pictures import encode_png
from deeplab_dpc.datasets.records import RawExample, build_records
from deeplab_dpc.datasets.segmentation_builder import Classes

CLASSES = Classes(("sky", "road", "car"), ((0, 0, 200), (200, 0, 0), (0, 200, 0)), 255)


def example(seed, with_label=True):
    data = encode_png(np.random.default_rng(seed).integers(0, 256, (40, 48, 3), np.uint8))
    ids = np.repeat(np.array([0, 1, 2, 255], np.uint8), 12)[None].repeat(40, axis=0)
    label = (lambda: (ids, f"{seed}.png")) if with_label else None
    return RawExample(f"{seed}.jpg", lambda: (data, f"{seed}.jpg"), label, [seed])


@pytest.fixture
def dataset(tmp_path):
    """Two train images, one of them in val, too, and a test split without labels."""
    examples = {"train": [example(0), example(1)], "val": [example(1)], "test": [example(2, with_label=False)]}
    return build_records("roads", CLASSES, examples, tmp_path / "data")


def narrowed(dataset):
    """The same records, with metadata that knows two classes."""
    path = dataset.path / "segmentation_info.json"
    info = json.loads(path.read_text())
    path.write_text(json.dumps(info | {"class_names": ["sky", "road"], "palette": [[0, 0, 200], [200, 0, 0]]}))


def test_tables_warnings_and_weights_are_printed(dataset, tmp_path, capsys):
    assert execute("check_data", [f"--data_dir={tmp_path / 'data'}", "--dataset=roads"]) == 0
    shown = capsys.readouterr().out
    rows = {line.split()[0]: line.split() for line in shown.splitlines() if line.split()}
    assert rows["train"][:3] == ["train", "2", "2"]
    assert rows["test"][-2:] == ["no", "labels"]
    assert "0 sky 960 33.33 % 2 480 33.33 % 1 1" in [" ".join(line.split()) for line in shown.splitlines()]
    assert "--label_weights=1 --label_weights=1 --label_weights=1" in shown
    assert "Warning: images in two splits, val: 1" in shown
    assert "record 0 of val (1.jpg) has the same image as record 1 of train (1.jpg)" in shown
    assert (dataset.path / "check" / "contact_sheet.png").is_file()


def test_errors_are_reported_in_full_then_exit_status_2(dataset, tmp_path, capsys):
    narrowed(dataset)
    assert execute("check_data", [f"--data_dir={tmp_path / 'data'}", f"--output_dir={tmp_path / 'out'}"]) == 2
    captured = capsys.readouterr()
    assert "Error: ids out of range, train: 2" in captured.out
    assert "Error: ids out of range, val: 1" in captured.out
    assert ["train", "2", "960", "2"] in [line.split() for line in captured.out.splitlines()]
    assert captured.err.strip().splitlines() == [
        f"check_data: The data set in {dataset.path} has 3 errors, the first: record 0 of train (0.jpg): its label has "
        "480 pixels of ids that are out of range (2; valid ids are 0 to 1 and 255)."
    ]
    assert json.loads((tmp_path / "out" / "check_data.json").read_text())["errors"][0]["count"] == 2


def test_json_alone_is_printed(dataset, tmp_path, capsys):
    narrowed(dataset)
    assert execute("check_data", [f"--data_dir={tmp_path / 'data'}", "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((dataset.path / "check" / "check_data.json").read_text())
    assert report["splits"]["train"]["classes"][1] == {
        "id": 1, "name": "road", "pixels": 960, "share": 0.5, "images": 2,
    }  # fmt: skip


def test_read_only_data_is_reported_on_in_the_current_directory(dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert execute("check_data", ["--data_dir=data"]) == 0
    assert sorted(path.name for path in (tmp_path / "check_roads").iterdir()) == [
        "check_data.json",
        "contact_sheet.png",
    ]
    assert not (dataset.path / "check").exists()


def test_data_dir_is_required(capsys):
    assert execute("check_data", []) == 2
    assert "--data_dir is required" in capsys.readouterr().err
