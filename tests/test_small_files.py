"""Files that a person names are read to an end that is there."""

import functools
import os
import threading

import pytest

from deeplab_dpc import small_files
from deeplab_dpc.cli.flagfiles import sources
from deeplab_dpc.data.classes_file import read_classes_file
from deeplab_dpc.datasets.label_ids import read_label_map
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import read_json
from deeplab_dpc.small_files import read_file, read_text

_TEN_BYTES = functools.partial(read_file, max_bytes=10)


@pytest.mark.parametrize(
    "read",
    [
        read_classes_file,
        lambda path: read_json(path, "cell file"),
        lambda path: read_label_map(path, None),
        lambda path: sources([f"--flagfile={path}"]),
    ],
    ids=["classes", "json", "label map", "flagfile"],
)
def test_device_without_end_is_one_sentence(read):
    with pytest.raises(UserError, match=r"/dev/zero cannot be read: it is a device or socket, and no file"):
        read("/dev/zero")


def test_file_or_pipe_that_is_too_large_is_refused_unread(tmp_path, monkeypatch):
    with open(tmp_path / "sparse", "wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(OSError, match="it has more than 67,108,864 bytes"):
        read_file(tmp_path / "sparse")
    with open(tmp_path / "sparse.json", "wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(UserError, match=r"The classes file .*sparse.json cannot be read: it has more than 67,108,864 "):
        read_classes_file(tmp_path / "sparse.json")
    monkeypatch.setattr(small_files, "_PIECE", 4)
    assert _through_pipe(tmp_path / "short", b"0123456789") == b"0123456789"
    with pytest.raises(OSError, match="it has more than 10 bytes"):
        _through_pipe(tmp_path / "long", b"0123456789a")


@pytest.mark.parametrize("content", [b"sky\nroad\n", b'["sky", "road"]'])
def test_classes_may_come_from_a_pipe(tmp_path, content):
    assert _through_pipe(tmp_path / "pipe", content, read_classes_file).names == ("sky", "road")


def _through_pipe(path, content, read=_TEN_BYTES):
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(content,), daemon=True)
    writer.start()
    try:
        return read(path)
    finally:
        writer.join()


def test_text_has_no_byte_order_mark_and_one_kind_of_line_end(tmp_path):
    (tmp_path / "text").write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert read_text(tmp_path / "text") == "a\nb\nc\n"
