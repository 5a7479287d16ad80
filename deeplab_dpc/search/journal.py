"""A study in a file: Optuna's journal, with a lock that dies with its holder and a torn end that is repaired.

Optuna's own locks are files that a killed process leaves behind; others wait half a minute for them. flock is let go by
the system.
"""

import fcntl
import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from deeplab_dpc.errors import UserError
from deeplab_dpc.files import atomic_path


def open_journal(path: pathlib.Path) -> JournalStorage:
    """The storage in that file, made if it is absent.

    Raises:
      UserError: if a line before the last is damaged.
    """
    lock = JournalLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab"):
            pass
        with lock.held():
            _check(path)
        return JournalStorage(_JournalFile(path, lock))
    except OSError as error:
        raise UserError(f"The journal {path} cannot be used: {error.strerror}.") from error


class _JournalFile(JournalFileBackend):
    """Optuna's file, which says what is wrong with it in one sentence."""

    def __init__(self, path: pathlib.Path, lock: "JournalLock"):
        super().__init__(str(path), lock_obj=lock)  # type: ignore[arg-type]
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        try:
            super().append_logs(logs)
        except OSError as error:
            raise UserError(
                f"The journal {self._path} cannot be written: {error.strerror}; nothing told before is lost, and the "
                "same command continues."
            ) from error


class JournalLock:
    """Optuna's lock of a journal that is to be written; the file ends with a whole line whenever it is held.

    A process that died while it wrote, with its machine, leaves half a line. What another appends would be lost with
    it, so it is cut off first, and a copy of the file is kept.

    Raises:
      UserError: if the file system has no locks.
    """

    def __init__(self, path: pathlib.Path):
        self._path = path
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
            _cut_torn_end(self._path)
        except OSError:
            self.release()  # Optuna does not, if this raises
            raise
        return True

    def release(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the lock."""
        self.acquire()
        try:
            yield
        finally:
            self.release()


def _cut_torn_end(path: pathlib.Path) -> None:
    """Cuts off a last line that has no end."""
    with open(path, "rb+") as stream:
        size = stream.seek(0, os.SEEK_END)
        if size == 0:
            return
        stream.seek(size - 1)
        if stream.read(1) == b"\n":
            return
        _keep_copy(path)
        stream.truncate(_last_line_end(stream, size))


def _last_line_end(stream: IO[bytes], size: int, chunk: int = 4096) -> int:
    """Where the last whole line ends; 0 if there is none."""
    end = size
    while end > 0:
        start = max(0, end - chunk)
        stream.seek(start)
        found = stream.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _keep_copy(path: pathlib.Path) -> None:
    """Copies a file to the first free of PATH.torn1, PATH.torn2, ..."""
    number = 1
    while (copy := pathlib.Path(f"{path}.torn{number}")).exists():
        number += 1
    with atomic_path(copy) as partial:
        shutil.copy2(path, partial)


def _check(path: pathlib.Path) -> None:
    """Cuts off a last line that is no JSON, as a crash of the file system leaves it, and refuses others."""
    place = 0
    with open(path, "rb") as stream:
        lines = iter(stream)
        for number, line in enumerate(lines, start=1):
            if not _is_json(line):
                if next(lines, None) is not None:
                    raise UserError(
                        f"{path}, line {number}, is damaged; restore the file, or search in another --workdir."
                    )
                break
            place += len(line)
        else:
            return
    _keep_copy(path)
    os.truncate(path, place)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
