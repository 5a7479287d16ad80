"""Published checkpoints by name: archives made here, served on this machine."""

import contextlib
import hashlib
import os
import pathlib
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
from published_host import archive_of

from deeplab_dpc.checkpoint import weights_cache
from deeplab_dpc.checkpoint.published import CHECKPOINTS, is_name, meant_names
from deeplab_dpc.checkpoint.weights_cache import cache_folder, cached_checkpoint, located, unpack_checkpoint
from deeplab_dpc.errors import UserError

NAME = "mobilenetv2_coco_voc_trainaug"
ARCHIVE = CHECKPOINTS[NAME].archive
INDEX, DATA = b"index of the variables", np.random.default_rng(0).bytes(600_000)
FOLDER = "deeplabv3_mnv2_pascal_train_aug"
FILES = {
    f"{FOLDER}/frozen_inference_graph.pb": b"a graph",
    f"{FOLDER}/model.ckpt-30000.data-00000-of-00001": DATA,
    f"{FOLDER}/model.ckpt-30000.index": INDEX,
    f"{FOLDER}/model.ckpt-30000.meta": b"another graph",
}


@pytest.fixture
def folder(host):
    """The cache, and a host that has the archive."""
    host.files[f"/models/{ARCHIVE}"] = archive_of(FILES)
    return cache_folder()


def _contents(folder):
    """What a cache holds: names of files but the lock's, relative to it."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock"))
    return sorted(str(path.relative_to(folder)) for path in found)


WHOLE = sorted([ARCHIVE, f"{ARCHIVE}.sha256", f"{NAME}/model.ckpt.data-00000-of-00001", f"{NAME}/model.ckpt.index"])


def _is_whole(prefix, folder):
    assert prefix == str(folder / NAME / "model.ckpt")
    assert pathlib.Path(f"{prefix}.index").read_bytes() == INDEX
    assert pathlib.Path(f"{prefix}.data-00000-of-00001").read_bytes() == DATA
    assert _contents(folder) == WHOLE
    return True


def test_name_is_downloaded_once_and_its_checksum_written_down(host, folder, capsys):
    assert _is_whole(located(NAME), folder)
    said = " ".join(capsys.readouterr().out.split())
    size = len(host.files[f"/models/{ARCHIVE}"])
    assert f"Downloading {host.url}/{ARCHIVE}, {size / 1e6:.1f} MB, to {folder / ARCHIVE}." in said
    checksum = hashlib.sha256(host.files[f"/models/{ARCHIVE}"]).hexdigest()
    assert (folder / f"{ARCHIVE}.sha256").read_text() == f"{checksum}  {ARCHIVE}\n"
    assert located(NAME) == str(folder / NAME / "model.ckpt")
    (folder / NAME / "model.ckpt.index").unlink()  # whoever did it: the archive has it
    assert _is_whole(located(NAME), folder)
    assert len(host.asked) == 1


def test_other_sources_are_left_alone(host, folder):
    for source in ("model.ckpt", f"./{NAME}", "imagenet"):
        assert located(source) == source
    assert (is_name(NAME), is_name("imagenet"), is_name(f"./{NAME}")) == (True, True, False)
    assert host.asked == []


def test_broken_download_is_continued_where_it_broke_off(host, folder):
    host.breaks_after = 200_000
    with pytest.raises(UserError, match=r"broke off at 0\.\d MB \(0\.6 MB in all; .*\); the same command continues it"):
        cached_checkpoint(NAME)
    there = (folder / f"{ARCHIVE}.part").stat().st_size
    assert 0 < there <= 200_000
    assert _contents(folder) == [f"{ARCHIVE}.part"]
    host.breaks_after = None
    assert _is_whole(cached_checkpoint(NAME), folder)
    assert host.asked[-1] == (f"/models/{ARCHIVE}", f"bytes={there}-")


def test_host_that_does_not_continue_sends_all_again(host, folder):
    folder.mkdir(parents=True)
    (folder / f"{ARCHIVE}.part").write_bytes(b"beginning")
    host.continues = False
    assert _is_whole(cached_checkpoint(NAME), folder)
    assert [wanted for _, wanted in host.asked] == ["bytes=9-"]


def test_whole_part_is_used_and_a_longer_one_begins_again(host, folder):
    folder.mkdir(parents=True)
    data = host.files[f"/models/{ARCHIVE}"]
    (folder / f"{ARCHIVE}.part").write_bytes(data)
    assert _is_whole(cached_checkpoint(NAME), folder)
    for path in _contents(folder):
        (folder / path).unlink()
    (folder / NAME).rmdir()
    (folder / f"{ARCHIVE}.part").write_bytes(data + b"more")
    assert _is_whole(cached_checkpoint(NAME), folder)
    assert [wanted for _, wanted in host.asked] == [f"bytes={len(data)}-", f"bytes={len(data) + 4}-", None]


def test_part_of_another_file_is_noticed_and_removed(host, folder):
    folder.mkdir(parents=True)
    data = host.files[f"/models/{ARCHIVE}"]
    (folder / f"{ARCHIVE}.part").write_bytes(bytes(1000))
    with pytest.raises(UserError, match=r"is damaged: .*; it was removed, and the same command downloads it again\."):
        cached_checkpoint(NAME)
    assert _contents(folder) == []
    damaged = bytearray(data[:300_000])
    damaged[200_000] ^= 1
    (folder / f"{ARCHIVE}.part").write_bytes(damaged)
    with pytest.raises(UserError, match="is damaged"):
        cached_checkpoint(NAME)
    assert _is_whole(cached_checkpoint(NAME), folder)


def test_other_checksum_than_the_first_is_refused(host, folder):
    cached_checkpoint(NAME)
    record = (folder / f"{ARCHIVE}.sha256").read_text()
    for path in _contents(folder):
        if not path.endswith(".sha256"):
            (folder / path).unlink()
    (folder / NAME).rmdir()
    data = host.files[f"/models/{ARCHIVE}"]
    host.files[f"/models/{ARCHIVE}"] = archive_of(FILES | {"more": b"1"})
    with pytest.raises(UserError, match=f"has the SHA-256 .*, and the first download had {record[:12]}") as error:
        cached_checkpoint(NAME)
    assert "it was removed, and the same command downloads it again" in str(error.value)
    assert _contents(folder) == [f"{ARCHIVE}.sha256"]
    host.files[f"/models/{ARCHIVE}"] = data
    assert _is_whole(cached_checkpoint(NAME), folder)


def test_archive_that_is_put_there_needs_no_network(host, folder):
    folder.mkdir(parents=True)
    (folder / ARCHIVE).write_bytes(host.files[f"/models/{ARCHIVE}"])
    assert _is_whole(cached_checkpoint(NAME), folder)
    assert host.asked == []


def test_damaged_archive_that_was_put_there_is_left_and_named(host, folder):
    folder.mkdir(parents=True)
    (folder / ARCHIVE).write_bytes(host.files[f"/models/{ARCHIVE}"][:-100])
    with pytest.raises(UserError, match=f"{ARCHIVE} is damaged: .*; put a complete one there, or remove it"):
        cached_checkpoint(NAME)
    assert _contents(folder) == [ARCHIVE]


def test_file_that_the_host_does_not_have_is_named(host, folder):
    host.files = {}
    with pytest.raises(UserError, match=f"{ARCHIVE} cannot be downloaded: the answer is 404 Not Found; get the file"):
        cached_checkpoint(NAME)
    assert _contents(folder) == []


@pytest.mark.parametrize(
    ("mirror", "reason"),
    [
        ("http://127.0.0.1:9", r"127.0.0.1:9 cannot be reached \(Connection refused\)"),
        ("http://host.invalid", r"host.invalid cannot be reached \(.*\)"),
    ],
)
def test_no_network_is_one_sentence(host, folder, monkeypatch, mirror, reason):
    monkeypatch.setenv("DEEPLAB_DPC_MIRROR", mirror)
    with pytest.raises(UserError, match=f"cannot be downloaded: {reason}; connect to the network") as error:
        cached_checkpoint(NAME)
    assert str(error.value).endswith(f"put it there as {folder / ARCHIVE}.")
    assert _contents(folder) == []


def test_full_disk_is_one_sentence_and_leaves_what_can_be_continued(host, folder):
    folder.mkdir(parents=True)
    (folder / f"{ARCHIVE}.part").symlink_to("/dev/full")
    with pytest.raises(UserError, match=f"The disk of {folder} is full; make room, and the same command continues"):
        cached_checkpoint(NAME)
    assert _contents(folder) == []
    (folder / f"{ARCHIVE}.part").unlink()
    assert _is_whole(cached_checkpoint(NAME), folder)


def test_disk_that_is_too_small_is_noticed_before_it_is_full(host, folder, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"it needs 0\.6 MB, and 0\.0 MB are free"):
        cached_checkpoint(NAME)
    assert _contents(folder) == []
    usage.free = len(host.files[f"/models/{ARCHIVE}"]) + 100  # enough for the archive, not for what is in it
    larger = FILES | {f"{FOLDER}/model.ckpt-30000.data-00000-of-00001": bytes(10**6)}
    host.files[f"/models/{ARCHIVE}"] = archive_of(larger)
    with pytest.raises(UserError, match=f"The disk of {folder} is full"):
        cached_checkpoint(NAME)
    assert _contents(folder) == [f"{ARCHIVE}.part"]


def test_killed_download_is_continued(host, folder):
    host.pause = 0.05
    code = f"from deeplab_dpc.checkpoint.weights_cache import cached_checkpoint; cached_checkpoint({NAME!r})"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    partial = folder / f"{ARCHIVE}.part"
    with contextlib.ExitStack() as stack:
        stack.callback(process.wait)
        stack.callback(process.kill)
        deadline = time.monotonic() + 60
        while not (partial.exists() and partial.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.005)
    assert process.returncode == -signal.SIGKILL
    there = partial.stat().st_size
    assert 0 < there < len(host.files[f"/models/{ARCHIVE}"])
    assert not (folder / NAME).exists()
    host.pause = 0
    assert _is_whole(cached_checkpoint(NAME), folder)
    assert host.asked[-1][1] == f"bytes={there}-"


def test_killed_unpacking_leaves_nothing_that_counts(host, folder, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(weights_cache.shutil, "copyfileobj", killed)
        with pytest.raises(KeyboardInterrupt):
            cached_checkpoint(NAME)
    (folder / f".{NAME}.left.tmp" / NAME).mkdir(parents=True)  # as a kill leaves it
    assert not (folder / NAME).exists()
    assert _is_whole(cached_checkpoint(NAME), folder)


@pytest.mark.parametrize(
    ("files", "attributes", "message"),
    [
        ({"graph.pb": b"1"}, {}, "should hold a TensorFlow 1 checkpoint, and holds none"),
        ({"model.ckpt.data-00000-of-00001": b"1"}, {}, "holds none"),
        (
            {"a/model.ckpt.index": b"1", "b/model.ckpt.index": b"2"},
            {},
            r"holds 2 of them \(a/model.ckpt, b/model.ckpt\)",
        ),
        ({"model.ckpt.index": b""}, {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "holds none"),
    ],
)
def test_archive_without_one_checkpoint_is_refused(files, attributes, message, tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(archive_of(files, **attributes))
    with pytest.raises(UserError, match=message):
        unpack_checkpoint(tmp_path / "a.tar.gz", tmp_path / "folder")
    assert os.listdir(tmp_path) == ["a.tar.gz"]


def test_members_are_written_nowhere_but_into_the_folder(tmp_path):
    files = {"../../model.ckpt.index": INDEX, "/tmp/evil/model.ckpt.data-00000-of-00001": DATA, "../outside": b"1"}
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tar.gz").write_bytes(archive_of(files))
    with pytest.raises(UserError, match="holds 2 of them"):
        unpack_checkpoint(tmp_path / "in" / "a.tar.gz", tmp_path / "in" / "folder")
    files = {"../../model.ckpt.index": INDEX, "../../model.ckpt.data-00000-of-00001": DATA, "../outside": b"1"}
    (tmp_path / "in" / "a.tar.gz").write_bytes(archive_of(files))
    unpack_checkpoint(tmp_path / "in" / "a.tar.gz", tmp_path / "in" / "folder")
    assert _contents(tmp_path) == [
        "in/a.tar.gz",
        "in/folder/model.ckpt.data-00000-of-00001",
        "in/folder/model.ckpt.index",
    ]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"DEEPLAB_DPC_CACHE": "/c", "XDG_CACHE_HOME": "/x"}, "/c/checkpoints"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/deeplab_dpc/checkpoints"),
        ({"HOME": "/home/me"}, "/home/me/.cache/deeplab_dpc/checkpoints"),
    ],
)
def test_cache_is_where_the_variables_say(variables, expected, monkeypatch):
    for name in ("DEEPLAB_DPC_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(cache_folder()) == expected


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("mobilenetv2_coco_voc_train_aug", "; did you mean mobilenetv2_coco_voc_trainaug or "),
        ("Xception-71-ImageNet", "; did you mean xception_71_imagenet or "),
        ("imagent", "; did you mean imagenet?"),
        ("runs/mine", ""),
    ],
)
def test_unknown_name_is_answered_with_near_ones(given, meant):
    assert meant_names(given).startswith(meant)
    assert bool(meant) == bool(meant_names(given))
