"""Files and directories are whole or absent."""

import concurrent.futures
import errno
import os
import re

import pytest

from deeplab_dpc.errors import UserError
from deeplab_dpc.files import atomic_path, read_json, remove_partial, require_space, write_json


def test_json_round_trip_leaves_one_file(tmp_path):
    write_json(tmp_path / "deep" / "a.json", {"x": [1, 2]})
    assert read_json(tmp_path / "deep" / "a.json", "file") == {"x": [1, 2]}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.json"]


def test_failed_write_keeps_what_was_there(tmp_path):
    write_json(tmp_path / "a.json", 1)

    def fail_half_way():
        with atomic_path(tmp_path / "a.json") as partial:
            partial.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert read_json(tmp_path / "a.json", "file") == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_directory_is_replaced_as_a_whole(tmp_path):
    for content in ("old", "new"):
        with atomic_path(tmp_path / "folder") as partial:
            partial.mkdir()
            (partial / content).write_text(content)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["new"]


def test_full_disk_is_named_by_its_target(tmp_path):
    with pytest.raises(OSError, match="No space left") as caught, atomic_path(tmp_path / "a.png"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "a.png")


def test_leftovers_of_a_killed_process_are_removed(tmp_path):
    (tmp_path / ".a.json.x.tmp").mkdir()
    (tmp_path / ".a.json.x.tmp" / "a.json").write_text("half")
    (tmp_path / "kept").mkdir()
    remove_partial(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_killed_write_of_one_name_alone_is_cleared_away(tmp_path):
    for name in (".a.json.x1y2.tmp", ".b.json.x1y2.tmp"):
        (tmp_path / name).mkdir()
    remove_partial(tmp_path, "a.json")
    assert [path.name for path in tmp_path.iterdir()] == [".b.json.x1y2.tmp"]


def test_space_is_checked_beforehand(tmp_path):
    require_space(tmp_path, 1)
    with pytest.raises(UserError, match=r"cannot be written: it needs 1000000000000.0 MB, and .* MB are free"):
        require_space(tmp_path, 10**18)


def test_bad_json_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match=r"The classes file .*a.json is not valid JSON"):
        read_json(tmp_path / "a.json", "classes file")
    with pytest.raises(UserError, match=r"The classes file .*b.json cannot be read: No such file"):
        read_json(tmp_path / "b.json", "classes file")


def test_a_directory_that_several_replace_at_once_is_that_of_one_of_them(tmp_path):
    def replace(number):
        for _ in range(40):
            with atomic_path(tmp_path / "report") as partial:
                partial.mkdir()
                (partial / "a").write_text(str(number))
                (partial / "b").write_text(str(number))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(replace, range(4)))
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    assert (tmp_path / "report" / "a").read_text() == (tmp_path / "report" / "b").read_text()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "it is nested too deeply"),
        ('{"a": ' * 100_000, "it is nested too deeply"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' occurs twice in one object"),
        ("[NaN]", "it has the number NaN, which JSON does not have"),
        ("[-Infinity]", "it has the number -Infinity, which JSON does not have"),
        ("[1e999]", "it has the number 1e999, more than 64 bits hold"),
        ("[18446744073709551616]", "it has a number of 20 digits, more than 64 bits hold"),
        ("9" * 100_000, "it has a number of 100000 digits, more than 64 bits hold"),
        (r'["\ud800"]', "it has half of a pair of surrogates, which is not text"),
        (r'{"\udfff": 1}', "it has half of a pair of surrogates, which is not text"),
        ("[1,\n2", "Expecting ',' delimiter"),
    ],
)
def test_json_that_programs_read_differently_is_refused(tmp_path, text, reason):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UserError, match=rf"The table .*x\.json is not valid JSON: {re.escape(reason)}[^\n]*\.$"):
        read_json(tmp_path / "x.json", "table")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_is_read_in_every_encoding_of_unicode(tmp_path, encoding):
    (tmp_path / "x.json").write_bytes('{"Straße": [18446744073709551615, -1.5]}'.encode(encoding))
    assert read_json(tmp_path / "x.json", "table") == {"Straße": [2**64 - 1, -1.5]}


def test_json_in_another_encoding_is_named(tmp_path):
    (tmp_path / "x.json").write_bytes(b'{"stra\xdfe": 1}')
    with pytest.raises(UserError, match=r"x\.json is not valid JSON: byte 6 is not valid utf-8\."):
        read_json(tmp_path / "x.json", "table")


def test_names_of_files_that_are_no_text_survive_json(tmp_path):
    name = os.fsdecode(b"stra\xdfe.jpg")
    write_json(tmp_path / "x.json", [name, "\N{GRINNING FACE}"])
    assert read_json(tmp_path / "x.json", "table") == [name, "\N{GRINNING FACE}"]


def test_errors_are_one_line_whatever_a_name_holds():
    assert str(UserError("The file a\nb\r\x1b[2J.png is empty.")) == r"The file a\nb\r\x1b[2J.png is empty."


class ResourceExhaustedError(Exception):
    """Stands for TensorFlow's error."""


@pytest.mark.parametrize(
    "error",
    [
        OSError("3000000 requested and 204672 written"),  # of numpy.save
        ResourceExhaustedError("/scratch/records; No space left on device"),
    ],
)
def test_full_disk_is_an_error_of_the_system_whoever_notices_it(tmp_path, error):
    def write():
        with atomic_path(tmp_path / "a.npy"):
            raise error

    with pytest.raises(OSError, match="No space left on device") as caught:
        write()
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "a.npy"))
    assert list(tmp_path.iterdir()) == []


def test_other_errors_while_writing_stay_what_they_are(tmp_path):
    def write():
        with atomic_path(tmp_path / "a.npy"):
            raise UserError("The image is damaged.")

    with pytest.raises(UserError, match=r"^The image is damaged\.$"):
        write()


def test_empty_json_is_said_to_be_empty(tmp_path):
    (tmp_path / "config.json").write_text(" \n")
    with pytest.raises(UserError, match="The run configuration .*config.json is empty; put a copy"):
        read_json(tmp_path / "config.json", "run configuration")
