"""The journal: torn ends are cut off and kept, damage is refused, locks die with their holders."""

import errno
import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys

import pytest

from deeplab_dpc.errors import UserError
from deeplab_dpc.search.service import journal
from deeplab_dpc.search.service.journal import JournalLock, open_journal


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study.journal"


def _create(path, *names):
    storage = open_journal(path)
    for name in names:
        storage.create_new_study([], name)
    return storage


def _names(path):
    return [study.study_name for study in open_journal(path).get_all_studies()]


def _copies(path):
    return {copy.name: copy.read_bytes() for copy in path.parent.glob("*.torn*")}


def test_empty_file_is_a_new_journal(path):
    path.touch()
    assert _names(path) == []
    assert _copies(path) == {}


def test_journal_is_read_again(path):
    _create(path, "a", "b")
    assert _names(path) == ["a", "b"]
    assert _copies(path) == {}


@pytest.mark.parametrize(
    "end", [b"{", b'{"op_code":0,"study_name":"x"', '{"study_name":"é'.encode()[:-1], b"\0" * 9000]
)
def test_torn_end_is_cut_off_and_a_copy_kept(path, end):
    _create(path, "a", "b")
    whole = path.read_bytes()
    path.write_bytes(whole + end)
    assert _names(path) == ["a", "b"]
    assert path.read_bytes() == whole
    assert _copies(path) == {"study.journal.torn1": whole + end}


@pytest.mark.parametrize("cut", [1, 2, 30])
def test_half_of_the_last_line_is_cut_off(path, cut):
    _create(path, "a", "b")
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes((first + second)[:-cut])
    assert _names(path) == ["a"]
    assert path.read_bytes() == first


def test_file_of_a_torn_line_alone_is_a_new_journal(path):
    path.write_bytes(b'{"op_co')
    assert _names(path) == []
    assert path.read_bytes() == b""


def test_whole_last_line_of_zeros_is_cut_off(path):
    _create(path, "a")
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0\0\0\n")
    assert _names(path) == ["a"]
    assert path.read_bytes() == whole


def test_each_repair_keeps_its_own_copy(path):
    for end in (b"x", b"y"):
        path.write_bytes(end)
        open_journal(path)
    assert _copies(path) == {"study.journal.torn1": b"x", "study.journal.torn2": b"y"}


def test_end_torn_by_another_while_the_journal_is_open_is_cut_off_before_the_next_line(path):
    storage = _create(path, "a")
    with open(path, "ab") as stream:
        stream.write(b'{"op_code"')  # killed here
    storage.create_new_study([], "b")
    assert [study.study_name for study in storage.get_all_studies()] == ["a", "b"]
    assert _names(path) == ["a", "b"]


@pytest.mark.parametrize("damage", [b"garbage\n", b"\n", b"\xff\xfe\n"])
def test_damage_in_the_middle_is_refused_and_left_alone(path, damage):
    _create(path, "a", "b", "c")
    first, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first, damage, *rest]))
    with pytest.raises(UserError, match=r"study\.journal, line 2, is damaged; restore the file"):
        open_journal(path)
    assert path.read_bytes() == b"".join([first, damage, *rest])


def _refused(path, message):
    before = path.read_bytes()
    with pytest.raises(UserError, match=message) as refused:
        open_journal(path)
    assert "\n" not in str(refused.value)
    assert path.read_bytes() == before


def test_line_that_was_doubled_changed_or_left_out_is_named(path):
    _create(path, "a", "b", "c")
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second + second + third)
    _refused(path, r"study\.journal, line 3, is the line before it once more; .*keep only its first 2 lines")
    path.write_bytes(first + second.replace(b'"b"', b'"x"') + third)
    _refused(path, "line 2, was changed, or lines before it are missing; .*keep only its first 1 lines")
    path.write_bytes(first + third + third)
    _refused(path, "line 2, was changed, or lines before it are missing")


def test_last_line_that_was_changed_is_cut_off_and_said(path, capsys):
    _create(path, "a", "b")
    changed = path.read_bytes().replace(b'"b"', b'"x"')
    path.write_bytes(changed)
    assert _names(path) == ["a"]
    assert _copies(path) == {"study.journal.torn1": changed}
    said = " ".join(capsys.readouterr().out.split())
    assert (
        f"The last line of the journal {path} is damaged and was cut off; {path}.torn1 is the file as it was." in said
    )


def test_lines_that_are_missing_at_the_end_are_said(path, capsys):
    _create(path, "a", "b")
    whole = path.read_bytes()
    path.write_bytes(whole.splitlines(keepends=True)[0])
    assert _names(path) == ["a"]
    said = " ".join(capsys.readouterr().out.split())
    assert f"of the {len(whole)} bytes that were written to it: its end is missing" in said
    assert _names(path) == ["a"]  # which is now known
    assert capsys.readouterr().out == ""


def test_journal_that_was_removed_begins_anew(path, capsys):
    _create(path, "a")
    path.unlink()
    assert _names(path) == []
    assert capsys.readouterr().out == ""


def test_lines_of_earlier_versions_and_of_other_programs_are_read(path):
    plain = b'{"op_code":0,"worker_id":"w","study_name":"%s","directions":[2]}\n'
    path.write_bytes(plain % b"old")
    _create(path, "a")
    with open(path, "ab") as stream:
        stream.write(plain % b"dashboard")
    _create(path, "b", "c")
    assert _names(path) == ["old", "a", "dashboard", "b", "c"]
    path.write_bytes(path.read_bytes().replace(b"dashboard", b"dashb0ard"))
    _refused(path, "line 4, was changed, or lines before it are missing")


def test_line_of_an_earlier_version_that_creates_a_trial_twice_is_refused(path):
    study = b'{"op_code":0,"worker_id":"w","study_name":"s","directions":[2]}\n'
    trial = b'{"op_code":4,"worker_id":"w","study_id":0,"datetime_start":"2026-01-01T00:00:00.000000"}\n'
    path.write_bytes(study + study + trial + study + trial + study)
    _refused(path, "line 5, was there before")


@pytest.mark.parametrize("line", [b'{"op_code":11}\n', b'{"op_code":true}\n', b"[]\n", b"[" * 100_000 + b"\n"])
def test_line_that_is_no_record_is_refused(path, line):
    _create(path, "a")
    path.write_bytes(path.read_bytes() + line + line)
    _refused(path, "line 2, is damaged")


def test_record_that_lacks_a_field_is_refused(path):
    path.write_bytes(b'{"op_code":0,"worker_id":"w"}\n' * 2)
    _refused(path, "line 1, is not a record of a study")


def test_file_that_is_cut_while_it_is_used_is_noticed(path):
    storage = _create(path, "a", "b")
    os.truncate(path, len(path.read_bytes().splitlines(keepends=True)[0]))
    with pytest.raises(UserError, match="is shorter than it was when it was last read"):
        storage.get_all_studies()


def test_journal_that_may_not_be_written_is_said(path, monkeypatch):
    storage = _create(path, "a")
    opened = open

    def refuse(file, mode="r", *args, **kwargs):
        if "a" in mode:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return opened(file, mode, *args, **kwargs)

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UserError, match="cannot be used: Read-only file system"):
        open_journal(path)
    with pytest.raises(UserError, match="cannot be written: Read-only file system; nothing written before is lost"):
        storage.create_new_study([], "b")


def _append_many(path, name):
    storage = open_journal(path)
    for number in range(30):
        storage.create_new_study([], f"{name}{number}")


def test_nothing_is_lost_by_repairs_while_another_process_appends(path):
    _create(path, "first")
    other = multiprocessing.get_context("spawn").Process(target=_append_many, args=(path, "other"))
    other.start()
    torn = 0
    while other.is_alive():
        with JournalLock(path).held(), open(path, "ab") as stream:
            stream.write(b'{"op_')  # as a process leaves it that is killed while it holds the lock
        torn += 1
        open_journal(path)
        other.join(0.01)
    assert other.exitcode == 0
    assert _names(path) == ["first", *(f"other{number}" for number in range(30))]
    assert len(_copies(path)) == torn
    for line in path.read_bytes().splitlines():
        json.loads(line)


HOLD = """
import fcntl, sys, time
stream = open(sys.argv[1], "wb")
fcntl.flock(stream, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(600)
"""


def test_lock_of_a_killed_process_holds_nobody_up(path):
    _create(path, "a")
    with subprocess.Popen([sys.executable, "-c", HOLD, f"{path}.lock"], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with open(f"{path}.lock", "wb") as stream, pytest.raises(BlockingIOError):
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert _names(path) == ["a"]


def test_file_system_without_locks_is_said(path, monkeypatch):
    def refuse(stream, kind):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserError, match="cannot be locked .*No locks available.*; put the journal on another"):
        open_journal(path)


def test_full_disk_is_said_in_one_sentence(path, monkeypatch):
    storage = _create(path, "a")

    def refuse(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UserError, match="cannot be written: No space left on device; nothing written before is lost"):
        storage.create_new_study([], "b")


def test_lock_is_let_go_where_a_repair_fails(path, monkeypatch):
    storage = _create(path, "a")
    with open(path, "ab") as stream:
        stream.write(b"torn")

    def refuse(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(journal.shutil, "copy2", refuse)
        with pytest.raises(UserError, match="cannot be written: No space left on device"):
            storage.create_new_study([], "b")
    assert _names(path) == ["a"]  # and does not wait


def test_end_of_the_last_whole_line_is_found_across_chunks(path):
    path.write_bytes(b"ab\n" + b"c" * 10)
    with open(path, "rb") as stream:
        assert [journal._last_line_end(stream, 13, chunk) for chunk in (1, 4, 13, 4096)] == [3, 3, 3, 3]
