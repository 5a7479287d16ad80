"""Atomic writing of files and directories, and reading of JSON with one-sentence errors."""

import collections
import contextlib
import errno
import glob
import itertools
import json
import math
import os
import pathlib
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from deeplab_dpc.console import printable
from deeplab_dpc.errors import UserError
from deeplab_dpc.small_files import read_file

_MAX_DIGITS = 20  # characters of an integer of 64 bits, including its sign
# Messages of NumPy and TensorFlow for a full disk; their errors do not carry the errno of the system.
_FULL_DISK = re.compile(r"\d+ requested and \d+ written|No space left on device")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_FAR = re.compile(r"(?!(?:file|https?|ftp)://)[A-Za-z][A-Za-z0-9+.-]*://")
MAX_JSON_BYTES = 2**32  # annotations of COCO take half a gigabyte
CACHE_VARIABLE = "DEEPLAB_DPC_CACHE"  # environment variable: a folder other than deeplab_dpc in the user's cache
CHECK_SUM = "crc32"  # the key of an object's checksum


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yields a temporary path beside `path` (a file or a directory), renamed to `path` if the block succeeds.

    An existing directory at `path` is replaced. If the block raises, nothing is left behind; an OSError names `path`.
    """
    target = pathlib.Path(path)
    scratch = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = pathlib.Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
        partial = scratch / target.name
        yield partial
        _sync(partial)
        _put(partial, target, scratch)
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            error.filename = str(target)
        elif _FULL_DISK.search(str(error)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from error
        raise
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _put(partial: pathlib.Path, target: pathlib.Path, scratch: pathlib.Path) -> None:
    """Moves `partial` to `target`; if several processes do so with directories at the same moment, the last one
    wins.
    """
    for attempt in itertools.count():
        if target.is_dir():
            with contextlib.suppress(FileNotFoundError):  # another process has moved it
                os.replace(target, scratch / f"replaced{attempt}")
        try:
            os.replace(partial, target)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another process was faster
                raise


def _sync(path: pathlib.Path) -> None:
    """Flushes a file, or every file of a directory, to the disk."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    for file in files:
        with open(file, "rb+") as stream:
            os.fsync(stream.fileno())


@contextlib.contextmanager
def literal_path(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yields a path that TensorFlow reads literally, for `path`: a file, a directory or the prefix of files.

    TensorFlow interprets paths as patterns, even existing ones, and does not accept bytes that are not UTF-8. For such
    a path, links to everything that begins with `path` are made in a temporary directory.
    """
    target = pathlib.Path(path).absolute()
    if not re.search(r"[*?\[\\\udc80-\udcff]", str(target)):
        yield target
        return
    with tempfile.TemporaryDirectory() as folder:
        link = pathlib.Path(folder) / "link"
        for found in target.parent.iterdir():
            if found.name.startswith(target.name):
                link.with_name(link.name + found.name.removeprefix(target.name)).symlink_to(found)
        yield link


def is_far(path: str | os.PathLike[str]) -> bool:
    """Returns whether a path is an address in the storage of other machines, as gs://BUCKET/FOLDER."""
    return _FAR.match(str(path)) is not None


def user_cache() -> pathlib.Path:
    """Returns the folder of downloads: DEEPLAB_DPC_CACHE, or else deeplab_dpc in the user's cache (XDG_CACHE_HOME)."""
    own = os.environ.get(CACHE_VARIABLE)
    users = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return pathlib.Path(own or f"{users}/deeplab_dpc").expanduser()


def require_space(directory: pathlib.Path, needed: int) -> None:
    """Raises a UserError if the file system of `directory` has less than `needed` bytes free.

    It is needed before writers that do not survive a full disk (HDF5) or notice it late (memory maps).
    """
    directory.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise UserError(
            f"{directory} cannot be written: it needs {needed / 1e6:.1f} MB, and {free / 1e6:.1f} MB are free; "
            "make room, and the same command continues."
        )


def unwritable(path: str | os.PathLike[str], flag: str, error: OSError) -> UserError:
    """Returns the error for a folder, given by a flag, that cannot be made or written."""
    return UserError(
        f"--{flag}={path} cannot be written ({error.strerror}); give another --{flag}, or permission to write there."
    )


def require_folder(path: str | os.PathLike[str], flag: str) -> None:
    """Raises a UserError if the folder given by a flag, or one of its parents, is a file."""
    for place in (pathlib.Path(path), *pathlib.Path(path).parents):
        if os.path.exists(place):
            if not os.path.isdir(place):
                raise UserError(f"--{flag}={path} must be a folder, and {place} is a file; give another --{flag}.")
            return


def remove_partial(directory: str | os.PathLike[str], name: str | None = None) -> None:
    """Removes the incomplete files in `directory` that processes killed during atomic_path left: all of them, or only
    those of the file `name`.
    """
    pattern = ".*.tmp" if name is None else f".{glob.escape(name)}.*.tmp"
    for scratch in pathlib.Path(directory).glob(pattern):
        shutil.rmtree(scratch, ignore_errors=True)


def require_unicode(path: str | os.PathLike[str], flag: str) -> None:
    """Raises a UserError for a path with bytes that are not UTF-8, which TensorFlow neither reads nor writes."""
    try:
        os.fsencode(path).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"--{flag}={printable(str(path))} is not a path in UTF-8; rename its folders.") from error


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes `value` as indented JSON, atomically."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def with_check_sum(value: dict[str, Any]) -> dict[str, Any]:
    """Returns an object with its checksum added, for write_json."""
    return value | {CHECK_SUM: zlib.crc32(json.dumps(value).encode())}


def has_check_sum(value: dict[str, Any]) -> bool:
    """Removes the checksum from an object that was read, and returns whether it is correct or absent."""
    found = value.pop(CHECK_SUM, None)
    return found is None or found == with_check_sum(value)[CHECK_SUM]


def read_json(
    path: str | os.PathLike[str],
    what: str,
    convert: Callable[[dict[str, Any]], Any] | None = None,
    finite: bool = True,
    max_bytes: int = MAX_JSON_BYTES,
) -> Any:
    """Reads a JSON file, in UTF-8 or another encoding of Unicode, with a byte order mark or without.

    Args:
      path: path of the file.
      what: kind of the file, for errors (for example 'classes file').
      convert: function called with each object as it is read, whose result replaces the object; None keeps it.
      finite: bool, whether NaN and infinity are rejected; losses may have these values.
      max_bytes: largest number of bytes of the file.

    Raises:
      UserError: if the file is absent, unreadable or not JSON, or contains values that programs read differently: a
        repeated key in an object, NaN, numbers of more than 64 bits, text that is not Unicode, too deep nesting.
    """
    try:
        data = read_file(path, max_bytes)
        if not data.strip():
            raise UserError(f"The {what} {path} is empty; put a copy of it there, or make it anew.")
        text = data.decode(json.detect_encoding(data))
        del data  # annotations of COCO take half a gigabyte
    except OSError as error:
        raise UserError(f"The {what} {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"The {what} {path} is not valid JSON: byte {error.start} is not valid {error.encoding}."
        ) from error
    return parse_json(text, f"The {what} {path}", convert, finite)


def parse_json(
    text: str, title: str, convert: Callable[[dict[str, Any]], Any] | None = None, finite: bool = True
) -> Any:
    """Returns the value of a JSON text; error messages begin with `title`. See `read_json`."""

    def checked(pairs: list[tuple[str, Any]]) -> Any:
        value = dict(pairs)
        if len(value) < len(pairs):
            repeated = next(key for key, count in collections.Counter(key for key, _ in pairs).items() if count > 1)
            raise ValueError(f"the key {repeated!r} occurs twice in one object")
        return value if convert is None else convert(value)

    try:
        limits: dict[str, Any] = {"parse_constant": _constant, "parse_float": _float} if finite else {}
        value = json.loads(text, object_pairs_hook=checked, parse_int=_integer, **limits)
        if _ESCAPED_SURROGATE.search(text):  # those for undecodable bytes of file names are accepted
            json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "surrogateescape")
        return value
    except RecursionError as error:
        raise UserError(f"{title} is not valid JSON: it is nested too deeply.") from error
    except UnicodeEncodeError as error:
        raise UserError(
            f"{title} is not valid JSON: it has half of a pair of surrogates, which is not text."
        ) from error
    except ValueError as error:
        raise UserError(f"{title} is not valid JSON: {error}.") from error


def _constant(name: str) -> float:
    raise ValueError(f"it has the number {name}, which JSON does not have")


def _integer(digits: str) -> int:
    value = int(digits) if len(digits) <= _MAX_DIGITS else None
    if value is None or not -(2**63) <= value < 2**64:
        raise ValueError(f"it has a number of {len(digits)} digits, more than 64 bits hold")
    return value


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"it has the number {digits[:20]}, more than 64 bits hold")
    return value
