import os
import pathlib

import pytest

from deeplab_dpc.data.found_images import ImageFile, find_images
from deeplab_dpc.errors import UserError


@pytest.fixture
def photos(tmp_path) -> pathlib.Path:
    for name in ("b.PNG", "a.jpg", "notes.txt", "day/a.jpg", "day/deep/c.webp", "clip.mp4"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "photos"


def test_folder_gives_the_images_directly_in_it(photos):
    assert find_images(str(photos)) == [ImageFile(photos / "a.jpg", "a"), ImageFile(photos / "b.PNG", "b")]


def test_pattern_keeps_folders_in_names_and_leaves_out_own_outputs(photos):
    assert [file.name for file in find_images(f"{photos}/**/*")] == ["a", "b", "day/a", "day/deep/c"]
    assert [file.name for file in find_images(f"{photos}/d*/a.jpg")] == ["day/a"]
    found = find_images(f"{photos}/**/*.*", without=[photos / "day" / "deep"])
    assert [file.name for file in found] == ["a", "b", "day/a"]


def test_single_file_may_have_any_name(photos):
    assert find_images(str(photos / "notes.txt")) == [ImageFile(photos / "notes.txt", "notes")]


def test_folder_whose_name_looks_like_a_pattern_is_a_folder(tmp_path):
    (tmp_path / "set[1]").mkdir()
    (tmp_path / "set[1]" / "a.png").touch()
    assert [file.name for file in find_images(str(tmp_path / "set[1]"))] == ["a"]


def test_part_of_a_pattern_that_exists_is_a_path(tmp_path):
    for name in ("runs[v2]/day/a.png", "runsv/day/b.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    assert [file.name for file in find_images(f"{tmp_path}/runs[v2]/*/*.png")] == ["day/a"]
    assert [file.name for file in find_images(f"{tmp_path}/runs[v2]/**")] == ["day/a"]
    assert [file.name for file in find_images(f"{tmp_path}/runs[uv]/**/*.png")] == ["runsv/day/b"]
    with pytest.raises(UserError, match=r"runs\[v2\]/none.png is not a folder, a file, or a pattern"):
        find_images(f"{tmp_path}/runs[v2]/none.png")


def test_links_that_lead_back_are_not_followed(photos):
    (photos / "day" / "up").symlink_to(photos)
    (photos / "day" / "here").symlink_to(photos / "day" / "here")
    (photos / "elsewhere").symlink_to(photos / "day" / "deep")
    assert [file.name for file in find_images(f"{photos}/**/*")] == ["a", "b", "day/a", "day/deep/c", "elsewhere/c"]


def test_pictures_of_other_kinds_and_videos_are_said(photos, capsys):
    (photos / "x.HEIC").touch()
    (photos / "line\nend.psd").touch()
    (photos / "photo.jpg_large").write_bytes(b"\xff\xd8\xff\xe0")
    find_images(str(photos))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Left out: clip.mp4: 1 file (a video is given by its own name")
    assert lines[1].startswith("Left out: line\\nend.psd, x.HEIC: 2 files (convert them; .jpg, .jpeg")
    assert lines[2].startswith("Left out: photo.jpg_large: 1 file (pictures by their contents; name the first")
    assert lines[2].endswith(".jpg).")
    assert len(lines) == 3
    find_images(f"{photos}/*.jpg")
    assert capsys.readouterr().out == ""


def test_two_images_of_one_name_are_refused(photos):
    (photos / "a.png").touch()
    with pytest.raises(UserError, match=r"a\.jpg and .*a\.png would both be written as a\.png; rename one"):
        find_images(str(photos))


def test_two_images_of_one_name_are_read_where_nothing_is_written(photos):
    (photos / "a.png").touch()
    assert {"a.jpg", "a.png"} <= {file.path.name for file in find_images(str(photos), are_written=False)}


def test_no_image_is_an_error(photos):
    with pytest.raises(UserError, match="nowhere is not a folder, a file, or a pattern"):
        find_images(str(photos / "nowhere"))
    with pytest.raises(UserError, match=r"\*\.mp4 matches no \.jpg.* file; a video is given by its own name"):
        find_images(f"{photos}/*.mp4")
    (photos / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty holds no \.jpg, "):
        find_images(str(photos / "empty"))


def test_hidden_files_are_left_out_unless_they_are_named(photos, capsys):
    for name in ("._a.jpg", ".c.png", ".photo", "day/._a.jpg", "__MACOSX/day/b.jpg"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).write_bytes(b"\xff\xd8\xff\xe0")
    assert [file.name for file in find_images(str(photos))] == ["a", "b"]
    assert "photo" not in capsys.readouterr().out
    assert [file.name for file in find_images(f"{photos}/*.*")] == ["a", "b"]
    assert [file.name for file in find_images(f"{photos}/**/*.jpg")] == ["a", "day/a"]
    assert find_images(str(photos / "._a.jpg")) == [ImageFile(photos / "._a.jpg", "._a")]


@pytest.mark.parametrize("pattern", ["", "/*.jpg", "/**/*.jpg"])
def test_links_to_nothing_are_taken_and_pipes_are_said(photos, pattern, capsys):
    (photos / "gone.jpg").symlink_to("/gone")
    (photos / "notes").symlink_to("/gone")
    os.mkfifo(photos / "pipe.jpg")
    (photos / "linked.jpg").symlink_to(photos / "pipe.jpg")
    names = [file.name for file in find_images(f"{photos}{pattern}")]
    assert "gone" in names
    assert not {"pipe", "linked", "notes"} & set(names)
    assert "Left out: linked.jpg, pipe.jpg: 2 files (a pipe, device or socket is not" in capsys.readouterr().out


def test_link_to_nothing_that_is_named_is_said_to_be_one(tmp_path):
    (tmp_path / "a.jpg").symlink_to("/gone")
    with pytest.raises(UserError, match=r"--images=.*a\.jpg is a link to /gone, which does not exist\.$"):
        find_images(str(tmp_path / "a.jpg"))
