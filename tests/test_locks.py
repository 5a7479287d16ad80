"""A directory has one process at a time."""

import socket
import subprocess
import sys

import pytest

from deeplab_dpc.errors import UserError
from deeplab_dpc.locks import LOCK, only_process

HOLD = """
import sys, time
from deeplab_dpc.locks import only_process
with only_process(sys.argv[1], "workdir"):
    print("held", flush=True)
    time.sleep(60)
"""


def _refused(path):
    with pytest.raises(UserError) as caught, only_process(path, "workdir"):
        pass
    return str(caught.value)


def test_directory_of_another_process_is_refused_until_that_is_killed(tmp_path):
    target = tmp_path / "new" / "run"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(target)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        said = _refused(target)
        assert said.startswith(f"{target} is in use by process {other.pid} on {socket.gethostname()} since 2")
        assert said.endswith("; wait until that has ended, or give another --workdir.")
        assert "\n" not in said
        other.kill()
        other.wait()
    assert list(target.iterdir()) == [target / LOCK]  # what a kill leaves
    with only_process(target, "workdir"):
        assert "process " in _refused(target)
    assert list(tmp_path.iterdir()) == [tmp_path / "new"]
    assert list(target.iterdir()) == []


def test_lock_leaves_no_directory_that_it_made(tmp_path):
    with only_process(tmp_path / "a" / "b", "workdir"):
        assert (tmp_path / "a" / "b" / LOCK).exists()
    assert list(tmp_path.iterdir()) == []
    with only_process(tmp_path / "a" / "model.tflite", "export_tflite", inside=False):
        assert list((tmp_path / "a").iterdir()) == [tmp_path / "a" / f".model.tflite{LOCK}"]
        (tmp_path / "a" / "model.tflite").touch()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["model.tflite"]


def test_file_in_the_place_of_a_folder_is_named_with_its_flag(tmp_path):
    (tmp_path / "T").write_text("")
    for place in ("T", "T/run"):
        words = f"--workdir=.*{place} must be a folder, and .*/T is a file"
        with pytest.raises(UserError, match=words), only_process(tmp_path / place, "workdir"):
            pass
