"""Commands whose output cannot be written."""

import contextlib
import os
import subprocess
import sys

import pytest

from deeplab_dpc.cli import describe
from deeplab_dpc.cli.main import COMMANDS, execute
from deeplab_dpc.cli.output import escape_unwritable_text
from deeplab_dpc.console import console

PROGRAM = [sys.executable, "-m", "deeplab_dpc.cli.main", "--help"]  # imports no TensorFlow
NETWORK = ["--model_variant=mobilenet_v2", "--num_classes=2", "--input_size=33,33"]


@contextlib.contextmanager
def _unread(monkeypatch):
    """Makes standard output a pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(console, "quiet", False)  # rich sets it, for good
        yield


@pytest.mark.parametrize("argv", [["--help"], [*NETWORK, "--json"]], ids=["help", "JSON"])
def test_reader_that_has_gone_ends_a_command_without_a_word(argv, monkeypatch, capsys):
    with _unread(monkeypatch):
        assert execute("describe", argv) == 128 + 13
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("flag", ["--help", "--helpfull", "--version"])
@pytest.mark.parametrize("command", COMMANDS)
def test_reader_that_has_gone_ends_the_help_of_every_command_without_a_word(command, flag, monkeypatch, capsys):
    with _unread(monkeypatch):
        assert execute(command, [flag]) == 128 + 13
    assert capsys.readouterr().err == ""


def test_reader_that_has_gone_ends_a_table_without_a_word(monkeypatch, capsys):
    with _unread(monkeypatch), pytest.raises(SystemExit):  # rich ends the process
        execute("describe", NETWORK)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_nothing_is_left_to_complain_about_when_python_ends(unbuffered):
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(PROGRAM, stdout=writer, stderr=subprocess.PIPE, check=False, env=environment)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (128 + 13, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_full_disk_gets_one_sentence(unbuffered):
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        ended = subprocess.run(PROGRAM, stdout=full, stderr=subprocess.PIPE, check=False, env=environment)
    assert ended.returncode == 2
    assert ended.stderr.decode().splitlines() == [
        "deeplab-dpc: No space left on device; nothing incomplete was left in its place."
    ]


def test_another_pipe_that_breaks_is_not_taken_for_the_output(monkeypatch, capsys):
    from deeplab_dpc.cli import describe

    def main(values):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(describe, "main", main)
    assert execute("describe", NETWORK) == 2
    assert "Broken pipe" in capsys.readouterr().err


def test_path_that_may_not_be_used_is_named_with_a_cure(monkeypatch, capsys):
    from deeplab_dpc.cli import describe

    def main(values):
        raise PermissionError(13, "Permission denied", "D/a.json")

    monkeypatch.setattr(describe, "main", main)
    assert execute("describe", NETWORK) == 2
    said = capsys.readouterr().err
    assert (
        said == "describe: D/a.json: Permission denied; give another path, or correct this one and its permissions.\n"
    )


def test_closed_standard_streams_are_no_mistake(monkeypatch):
    for name in ("stdout", "stderr"):
        with monkeypatch.context() as patch:
            patch.setattr(sys, name, None)
            assert execute("describe", ["--help"]) == 0


def test_text_that_the_output_cannot_have_is_escaped(monkeypatch, tmp_path):
    with open(tmp_path / "printed", "w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        escape_unwritable_text()
        print("stra\udcdfe \u2501")
    assert (tmp_path / "printed").read_text(encoding="ascii") == "stra\\udcdfe \\u2501\n"


def test_exhausted_memory_is_one_sentence(monkeypatch, capsys):
    def exhausted(values):
        raise MemoryError

    monkeypatch.setattr(describe, "main", exhausted)
    assert execute("describe", NETWORK) == 2
    assert capsys.readouterr().err.startswith("describe: The memory is not enough; give smaller images")
