"""What is predicted, one after another: files, a split, a video's frames."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from deeplab_dpc.data.found_images import ImageFile
from deeplab_dpc.data.image_sources import Picture, Unreadable, _record_name, pictures_of_files, pictures_of_split
from deeplab_dpc.errors import UserError


def test_bad_file_leaves_a_reason_in_its_place(tmp_path):
    Image.new("RGB", (4, 2), (1, 2, 3)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    files = [ImageFile(tmp_path / "b.png", "b"), ImageFile(tmp_path / "a.png", "sub/a")]
    bad, good = pictures_of_files(files)
    assert isinstance(bad, Unreadable)
    assert str(tmp_path / "b.png") in bad.reason
    assert isinstance(good, Picture)
    assert (good.name, good.source, good.image.shape) == ("sub/a", str(tmp_path / "a.png"), (2, 4, 3))


def test_split_gives_its_images_by_name(shapes):
    pictures = list(pictures_of_split(shapes, "val"))
    assert len(pictures) == 5
    assert all(picture.image.shape == (65, 81, 3) for picture in pictures)
    assert len({picture.name for picture in pictures}) == 5
    assert pathlib.PurePosixPath(pictures[0].source).stem == pictures[0].name


def test_missing_split_is_named(shapes):
    with pytest.raises(UserError, match="has no split 'test'"):
        next(pictures_of_split(shapes, "test"))


def test_image_that_occurs_twice_is_written_once(shapes, monkeypatch):
    example = {"image": np.zeros((2, 2, 3), np.uint8), "filename": b"a.jpg"}
    monkeypatch.setattr("deeplab_dpc.data.pipeline.iterate", lambda *_: iter([example, example]))
    first, second = pictures_of_split(shapes, "val")
    assert isinstance(first, Picture)
    assert isinstance(second, Unreadable)
    assert "has the image a.jpg more than once" in second.reason


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("2008_000001.jpg", "2008_000001"),
        ("aachen/x_leftImg8bit", "aachen/x_leftImg8bit"),
        ("v1.5", "v1.5"),
        ("/etc/a.png", "etc/a"),
        ("../../a.png", "a"),
        ("", ""),
    ],
)
def test_names_of_records_stay_below_the_output_folder(filename, name):
    assert _record_name(filename) == name
