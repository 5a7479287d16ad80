"""A study in a file: Optuna's journal with sealed lines, a lock that ends with its process, and repair of its end.

Optuna's own locks are files that a killed process leaves behind; others wait half a minute for them. flock is released
by the system.

FILE            one record per line (see journal_lines.py)
FILE.lock       held by the process that writes
FILE.length     number of bytes written, so that missing lines at the end are detected
FILE.torn1 ...  copies of the file before its damaged end was cut off
"""

import fcntl
import os
import pathlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend

from deeplab_dpc.console import console
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import atomic_path
from deeplab_dpc.search.service.journal_lines import Chain, DamagedLineError, sealed


def open_journal(path: pathlib.Path, shown: pathlib.Path | None = None) -> JournalStorage:
    """Returns the storage in that file, which is created if it is absent.

    A damaged end is cut off, a copy of the file is kept, and a line is printed.

    Args:
      path: path of the file.
      shown: name in errors, if `path` is a copy of another file.

    Raises:
      UserError: if a line before the last is not a valid record of the journal, or the file cannot be used.
    """
    shown = shown or path
    lock = JournalLock(path, shown)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            length_file(path).unlink(missing_ok=True)
        with open(path, "ab"):
            pass
        with lock.held():
            _check(path, shown)
            _compare_length(path, shown)
    except OSError as error:
        raise UserError(f"The journal {shown} cannot be used: {error.strerror}.") from error
    backend = _JournalFile(path, shown, lock)
    try:
        return JournalStorage(backend)
    except UserError:
        raise
    # Errors that Optuna raises for a record that lacks a field, or has a value of another type.
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, AssertionError, OverflowError) as error:
        raise _damaged(shown, backend.number, "is not a record of a study") from error


def _damaged(path: pathlib.Path, number: int, predicate: str) -> UserError:
    rest = (
        f"keep only its first {number - 1} lines (the work that the others record is then repeated)"
        if number > 1
        else ""
    )
    return UserError(
        f"{path}, line {number}, {predicate}; restore the file from a copy, {rest + ', ' if rest else ''}or search in "
        "another --workdir."
    )


class _JournalFile(BaseJournalBackend):
    """The file as Optuna reads and writes it, with one-sentence errors."""

    def __init__(self, path: pathlib.Path, shown: pathlib.Path, lock: "JournalLock"):
        self._path = path
        self._shown = shown
        self._lock = lock
        self._chain = Chain()
        self._offset = 0  # end of the lines that were read, in bytes

    @property
    def number(self) -> int:
        """Returns the number of lines that were read."""
        return self._chain.number

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yields the records that follow those read before, all of which Optuna has applied."""
        assert log_number_from == self._chain.number
        try:
            with open(self._path, "rb") as stream:
                if os.fstat(stream.fileno()).st_size < self._offset:
                    raise UserError(
                        f"The journal {self._shown} is shorter than it was when it was last read; restore it, and the "
                        "same command continues."
                    )
                stream.seek(self._offset)
                for line in stream:
                    if not line.endswith(b"\n"):
                        return  # another process is writing it, or died while writing it
                    try:
                        record = self._chain.read(line)
                    except DamagedLineError as error:
                        raise _damaged(self._shown, self._chain.number + 1, str(error)) from error
                    self._offset += len(line)
                    yield record
        except OSError as error:
            raise UserError(
                f"The journal {self._shown} cannot be read: {error.strerror}; nothing written before is lost, and "
                "the same command continues."
            ) from error

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Writes records; they are on disk when this returns."""
        try:
            with self._lock.held():
                previous = _last_line(self._path)
                with open(self._path, "ab") as stream:
                    for record in logs:
                        previous = sealed(record, previous)
                        stream.write(previous)
                    stream.flush()
                    os.fsync(stream.fileno())
                    _write_length(self._path, stream.tell())
        except OSError as error:
            raise UserError(
                f"The journal {self._shown} cannot be written: {error.strerror}; nothing written before is lost, "
                "and the same command continues."
            ) from error


class JournalLock:
    """The lock of a journal for writing; the file ends with a complete line whenever the lock is held.

    A process that died while writing leaves half a line. Records appended to it would be lost, so it is cut off first,
    and a copy of the file is kept.

    Args:
      path: path of the journal.
      shown: name in messages, if `path` is a copy of another file.

    Raises:
      UserError: if the file system has no locks.
    """

    def __init__(self, path: pathlib.Path, shown: pathlib.Path | None = None):
        self._path = path
        self._shown = shown or path
        self._stream: IO[bytes] | None = None

    def acquire(self) -> bool:
        self._stream = open(f"{self._path}.lock", "wb")  # noqa: SIM115 (kept open on purpose)
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX)
        except OSError as error:
            self.release()
            raise UserError(
                f"{self._path} cannot be locked ({error.strerror}): its file system does not suit several workers; "
                "put the journal on another, or give --storage a database."
            ) from error
        try:
            _cut_torn_end(self._path, self._shown)
        except OSError:
            self.release()
            raise
        return True

    def release(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the lock within the context."""
        self.acquire()
        try:
            yield
        finally:
            self.release()


def _cut_torn_end(path: pathlib.Path, shown: pathlib.Path) -> None:
    """Cuts off an incomplete last line."""
    with open(path, "rb+") as stream:
        size = stream.seek(0, os.SEEK_END)
        if size == 0:
            return
        stream.seek(size - 1)
        if stream.read(1) == b"\n":
            return
        copy = _keep_copy(path)
        stream.truncate(_last_line_end(stream, size))
    _print_cut_off(path, shown, copy)


def _print_cut_off(path: pathlib.Path, shown: pathlib.Path, copy: pathlib.Path) -> None:
    outcome = f"was cut off; {copy} is the file as it was" if shown == path else "is not read"
    console.print(f"The last line of the journal {shown} is damaged and {outcome}.")


def _last_line(path: pathlib.Path) -> bytes:
    """Returns the last line of a file that ends with a complete one; empty if it has none."""
    with open(path, "rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        if size == 0:
            return b""
        stream.seek(_last_line_end(stream, size - 1))
        return stream.read()


def _last_line_end(stream: IO[bytes], size: int, chunk: int = 4096) -> int:
    """Returns the end of the last complete line; 0 if there is none."""
    end = size
    while end > 0:
        start = max(0, end - chunk)
        stream.seek(start)
        found = stream.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _keep_copy(path: pathlib.Path) -> pathlib.Path:
    """Copies a file to the first free name of PATH.torn1, PATH.torn2, ..., and returns it."""
    number = 1
    while (copy := pathlib.Path(f"{path}.torn{number}")).exists():
        number += 1
    with atomic_path(copy) as partial:
        shutil.copy2(path, partial)
    return copy


def _check(path: pathlib.Path, shown: pathlib.Path) -> None:
    """Cuts off a damaged last line, as a crash of the file system leaves one, and raises an error for other damage."""
    place, chain = 0, Chain()
    with open(path, "rb") as stream:
        lines = iter(stream)
        for line in lines:
            try:
                chain.read(line)
            except DamagedLineError as error:
                if next(lines, None) is not None:
                    raise _damaged(shown, chain.number + 1, str(error)) from error
                break
            place += len(line)
        else:
            return
    copy = _keep_copy(path)
    os.truncate(path, place)
    _print_cut_off(path, shown, copy)


def length_file(path: pathlib.Path) -> pathlib.Path:
    """Returns the path of the file with the number of bytes that were written to a journal."""
    return path.with_name(f"{path.name}.length")


def _compare_length(path: pathlib.Path, shown: pathlib.Path) -> None:
    """Prints a message if the end of a journal is missing; its results are then unknown, and are computed again."""
    length, size = length_file(path), path.stat().st_size
    if length.exists():
        text = length.read_bytes().strip()
        if not text.isdigit():
            raise UserError(f"{length} is damaged; it must hold the length of the journal {shown}: remove it.")
        if size < int(text):
            console.print(
                f"The journal {shown} has {size:,} of the {int(text):,} bytes that were written to it: its end is "
                "missing, and the work recorded there is repeated."
            )
    _write_length(path, size)


def _write_length(path: pathlib.Path, size: int) -> None:
    """Writes the length with a fixed number of digits, so that a process that dies here leaves the old or the new
    number.
    """
    descriptor = os.open(length_file(path), os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        os.pwrite(descriptor, b"%020d\n" % size, 0)
    finally:
        os.close(descriptor)
