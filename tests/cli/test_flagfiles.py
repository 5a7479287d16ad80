"""Flags from files, and the recipes that ship with the package."""

import os
import threading

import pytest

from deeplab_dpc.cli.flagfiles import recipe_names
from deeplab_dpc.cli.main import execute, parse
from deeplab_dpc.errors import UserError


def _steps(*argv: str) -> int:
    return parse("train", argv).training["training_number_of_steps"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["recipes/small_data.flags", "./recipes/small_data.flags", "small_data.flags"])
@pytest.mark.parametrize("form", ["--flagfile={}", "-flagfile={}", "--flagfile {}"])
def test_recipe_of_the_package_is_found_from_any_folder(name, form):
    assert parse("search", form.format(name).split()).search["num_candidates"] == 24


def test_file_of_the_current_folder_comes_before_the_recipe(folder):
    (folder / "recipes").mkdir()
    (folder / "recipes" / "small_data.flags").write_text("--num_candidates=7\n")
    assert parse("search", ["--flagfile=recipes/small_data.flags"]).search["num_candidates"] == 7
    assert parse("search", ["--flagfile=small_data.flags"]).search["num_candidates"] == 24


@pytest.mark.parametrize(
    "name", ["recipes/smal_data.flags", "absent.flags", "other/small_data.flags", "/recipes/small_data.flags"]
)
def test_file_that_is_nowhere_is_answered_with_the_recipes(name, capsys):
    assert execute("search", [f"--flagfile={name}"]) == 2
    error = capsys.readouterr().err
    assert f"--flagfile={name}: there is no such file, and no recipe of this name" in error
    assert "recipes/cityscapes_search.flags" in error
    assert error.count("recipes/") >= len(recipe_names())
    assert len(error.splitlines()) == 1


def test_files_name_other_files_and_recipes(folder):
    (folder / "inner.flags").write_text("--training_number_of_steps=3\n--train_batch_size=5\n")
    (folder / "outer.flags").write_text(
        "--flagfile=recipes/cityscapes_mobilenet_v2_dpc.flags\n  --flagfile inner.flags \n--train_batch_size=6\n"
    )
    flags = parse("train", ["--flagfile=outer.flags"])
    assert flags.network.dense_prediction_cell_json == "dpc_top1"
    assert (flags.training["training_number_of_steps"], flags.training["train_batch_size"]) == (3, 6)


def test_list_after_a_nested_file_replaces_that_of_the_file(folder):
    (folder / "inner.flags").write_text("--atrous_rates=6\n--atrous_rates=12\n")
    (folder / "outer.flags").write_text("--flagfile=inner.flags\n--atrous_rates=3\n")
    assert parse("train", ["--flagfile=outer.flags"]).network.fields["atrous_rates"] == (3,)


def test_home_directory_is_written_as_a_tilde(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    (folder / "a.flags").write_text("--training_number_of_steps=3\n")
    assert _steps("--flagfile=~/a.flags") == 3


def test_comments_spaces_line_ends_and_byte_order_marks_are_no_part_of_a_flag(folder):
    text = "# a\r\n  // b\r\n\r\n  --training_number_of_steps=3  \r\n"
    (folder / "a.flags").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert _steps("--flagfile=a.flags") == 3


def test_pipe_is_read_once(folder):
    os.mkfifo(folder / "pipe")
    writer = threading.Thread(target=(folder / "pipe").write_text, args=("--model_variant=xception_41\n--help\n",))
    writer.start()
    assert execute("describe", [f"--flagfile={folder / 'pipe'}"]) == 0
    writer.join()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"training_number_of_steps=3", "line 1: 'training_number_of_steps=3' is not a flag; write --name=value"),
        (b"\n--training_number_of_steps 3", "line 2: '--training_number_of_steps 3' is not a flag; write --name=value"),
        (b"--no_such_flag=3", "Unknown command line flag 'no_such_flag'"),
        (b"--training_number_of_steps=many", "a.flags: --training_number_of_steps must be a whole number, got many."),
        (b"--num_candidates=3", "Unknown command line flag 'num_candidates'"),
        (b"--data_dir=\xff", "is not UTF-8 text"),
        (b"--flagfile=a.flags", "includes itself, directly or through another file"),
        (b"--flagfile=./b/../a.flags", "includes itself, directly or through another file"),
    ],
)
def test_mistakes_in_a_file_are_named_with_it(folder, contents, message, capsys):
    (folder / "b").mkdir()
    (folder / "a.flags").write_bytes(contents)
    assert execute("train", ["--flagfile=a.flags"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "a.flags" in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("argv", [["--flagfile"], ["--flagfile="], ["--flagfile", " "]])
def test_name_of_the_file_is_needed(argv):
    with pytest.raises(UserError, match="--flagfile needs the name of a file"):
        _steps(*argv)


def test_folder_is_no_flagfile():
    with pytest.raises(UserError, match=r"--flagfile=\. cannot be read: Is a directory"):
        _steps("--flagfile=.")


def test_every_recipe_is_listed():
    assert {"small_data.flags", "cityscapes_search.flags", "mobilenet_v3_cityscapes_model.flags"} < set(recipe_names())
