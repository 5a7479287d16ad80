"""Submissions to the official servers, read back as the servers do."""

import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from deeplab_dpc.data.cityscapes_labels import TRAIN_ID_OF_LABEL_ID
from deeplab_dpc.data.dataset_info import pascal_palette
from deeplab_dpc.datasets.label_pictures import read_label
from deeplab_dpc.datasets.pictures import remap_ids
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.submission import open_submission

BERLIN = "berlin_000000_000019_leftImg8bit.png"
MUNICH = "munich_000397_000019_leftImg8bit.png"
VOC_FOLDER = "results/VOC2012/Segmentation/comp6_test_cls"


@pytest.fixture
def train_ids(rng):
    return rng.integers(0, 19, (32, 64)).astype(np.int32)


@pytest.fixture
def voc_ids(rng):
    return rng.integers(0, 21, (30, 40)).astype(np.int32)


def submit(kind, path, num_classes, predictions):
    """Adds each (name, prediction)."""
    with open_submission(kind, path, num_classes) as submission:
        for name, prediction in predictions:
            submission.add(name, prediction)


def interrupted(predictions):
    yield from predictions
    raise KeyboardInterrupt


def tar_files(path):
    with tarfile.open(path, "r:gz") as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def test_cityscapes_zip_has_label_ids_that_map_back(tmp_path, train_ids):
    path = tmp_path / "out" / "submission.zip"
    with open_submission("cityscapes", path, 19) as submission:
        submission.add(f"leftImg8bit/test/berlin/{BERLIN}", train_ids)
        submission.add(MUNICH, 18 - train_ids)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [BERLIN, MUNICH]
        label = read_label(archive.read(BERLIN), BERLIN)
    assert label.kind == "grey"
    np.testing.assert_array_equal(remap_ids(label.values, TRAIN_ID_OF_LABEL_ID, 255), train_ids)


def test_cityscapes_pixels_are_the_official_label_ids(tmp_path):
    with open_submission("cityscapes", tmp_path / "folder", 19) as submission:
        submission.add("berlin_000000_000019.jpg", np.arange(19).reshape(1, 19))
    with Image.open(tmp_path / "folder" / "berlin_000000_000019.png") as picture:
        assert picture.mode == "L"
        ids = np.asarray(picture)[0].tolist()
    assert ids == [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]


@pytest.mark.parametrize(("competition", "ending"), [("comp6", ".tgz"), ("comp5", ".tar.gz")])
def test_voc_archive_has_palette_files_in_the_servers_folder(tmp_path, voc_ids, competition, ending):
    path = tmp_path / f"voc{ending}"
    with open_submission("voc2012", path, 21, competition) as submission:
        submission.add("2008_000006.jpg", voc_ids)
        submission.add("2011_003254", 20 - voc_ids)
    files = tar_files(path)
    folder = VOC_FOLDER.replace("comp6", competition)
    assert list(files) == [f"{folder}/2008_000006.png", f"{folder}/2011_003254.png"]
    with Image.open(io.BytesIO(files[f"{folder}/2008_000006.png"])) as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.asarray(picture), voc_ids)
        colors = np.asarray(picture.convert("RGB"))
    np.testing.assert_array_equal(colors, np.array(pascal_palette(21))[voc_ids])


@pytest.mark.parametrize(
    ("kind", "file_name", "num_classes", "image"),
    [("cityscapes", "a.zip", 19, BERLIN), ("cityscapes", "a", 19, BERLIN), ("voc2012", "a.tgz", 21, "2008_000006")],
)
def test_nothing_is_left_of_a_submission_that_fails(tmp_path, train_ids, kind, file_name, num_classes, image):
    with pytest.raises(KeyboardInterrupt):
        submit(kind, tmp_path / file_name, num_classes, interrupted([(image, train_ids)]))
    assert list(tmp_path.iterdir()) == []


def test_empty_submissions_are_refused(tmp_path):
    with pytest.raises(UserError, match="would be empty: no image was predicted"):
        submit("cityscapes", tmp_path / "a.zip", 19, [])
    assert list(tmp_path.iterdir()) == []


def test_an_archive_appears_when_it_is_whole(tmp_path, voc_ids):
    path = tmp_path / "a.tgz"
    path.write_bytes(b"earlier")
    with open_submission("voc2012", path, 21) as submission:
        submission.add("2008_000006", voc_ids)
        assert path.read_bytes() == b"earlier"
    assert list(tar_files(path)) == [f"{VOC_FOLDER}/2008_000006.png"]


def test_missing_images_are_said(tmp_path, voc_ids, capsys):
    submit("voc2012", tmp_path / "a.tgz", 21, [("2008_000006", voc_ids)])
    assert "has 1 images; the official test split has 1,456" in capsys.readouterr().out.replace("\n", " ")


def test_a_name_that_occurs_twice_is_refused(tmp_path, train_ids):
    again = "jena/berlin_000000_000019.png"
    with pytest.raises(UserError, match=f"The image {again} occurs twice"):
        submit("cityscapes", tmp_path / "a.zip", 19, [(BERLIN, train_ids), (again, train_ids)])


@pytest.mark.parametrize(
    ("kind", "file_name", "num_classes", "image"),
    [
        ("cityscapes", "a.zip", 19, "2008_000006.jpg"),
        ("cityscapes", "a.zip", 19, "berlin_19_leftImg8bit.png"),
        ("voc2012", "a.tgz", 21, BERLIN),
        ("voc2012", "a.tgz", 21, "2008_000006_copy.jpg"),
    ],
)
def test_names_that_the_server_does_not_find_are_refused(tmp_path, train_ids, kind, file_name, num_classes, image):
    with pytest.raises(UserError, match=f"The image {image} is not one of .*, whose files are named like"):
        submit(kind, tmp_path / file_name, num_classes, [(image, train_ids)])


@pytest.mark.parametrize("wrong", [-1, 19])
def test_ids_that_are_no_class_are_refused(tmp_path, train_ids, wrong):
    train_ids[3, 4] = wrong
    with pytest.raises(UserError, match=rf"{BERLIN}: predictions must be in \[0, 18\]"):
        submit("cityscapes", tmp_path / "a.zip", 19, [(BERLIN, train_ids)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cityscapes", "a.zip", 21), "A submission to Cityscapes has its 19 classes, but the network has 21"),
        (("voc2012", "a.tgz", 19), "A submission to PASCAL VOC 2012 has its 21 classes, but the network has 19"),
        (("cityscapes", "a.tgz", 19), r"a \.zip file, or a folder without an ending, got .*a\.tgz"),
        (("voc2012", "a.tar", 21), r"is a \.tgz or \.tar\.gz file, got .*a\.tar"),
        (("voc2012", "a.tgz", 21, "comp3"), r"comp5 .* or comp6 .*, got 'comp3'"),
        (("ade20k", "a.zip", 151), "`server` must be cityscapes or voc2012, got 'ade20k'"),
    ],
)
def test_what_no_server_takes_is_refused(tmp_path, arguments, message):
    kind, file_name, *rest = arguments
    with pytest.raises(UserError, match=message):
        open_submission(kind, tmp_path / file_name, *rest)


def test_a_folder_that_exists_is_not_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="mine exists; give another path for the submission"):
        open_submission("cityscapes", tmp_path / "mine", 19)


def test_adding_needs_an_open_submission(tmp_path, train_ids):
    with pytest.raises(ValueError, match="outside of the submission's `with` block"):
        open_submission("cityscapes", tmp_path / "a.zip", 19).add(BERLIN, train_ids)
