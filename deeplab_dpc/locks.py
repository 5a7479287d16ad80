"""Locks on files and directories, by which only one process at a time writes them."""

import contextlib
import datetime
import fcntl
import itertools
import os
import pathlib
import socket
from collections.abc import Iterator
from typing import TextIO

from deeplab_dpc.console import console
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import require_folder, unwritable

LOCK = ".in_use"  # name of the lock file in a directory, or suffix of the name of a lock file beside a path


@contextlib.contextmanager
def only_writer(path: str | os.PathLike[str], what: str) -> Iterator[None]:
    """Locks `path` for writing and waits until no other process writes it; the system releases the lock when a process
    ends for any reason.

    Args:
      path: file or directory; the lock is a file beside it.
      what: kind of the file, for the message that this process waits (for example 'feature cache').
    """
    target = pathlib.Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # The lock file is not removed: a process that waits for a removed file would not see the lock of its successor.
    with open(target.with_name(f".{target.name}.lock"), "w", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print(f"Another process writes the {what} {target}; waiting until it is done.")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def only_process(path: str | os.PathLike[str], flag: str, *, inside: bool = True) -> Iterator[None]:
    """Locks `path` for this process if no other process has locked it; a killed process leaves no lock.

    Args:
      path: directory that is written, created if it is absent; or path that does not exist yet.
      flag: flag of the path, for the message.
      inside: bool, whether the lock file is in the directory `path`; otherwise it is beside it.

    Raises:
      UserError: if another process has locked it, or it cannot be written.
    """
    target = pathlib.Path(path)
    if not inside and not target.name:
        raise UserError(f"--{flag}={path} has no name of its own; give the path of a new file or folder.")
    lock = target / LOCK if inside else target.with_name(f".{target.name}{LOCK}")
    made = list(itertools.takewhile(lambda folder: not folder.exists(), (lock.parent, *lock.parent.parents)))
    if inside:
        require_folder(target, flag)
    stream = None
    try:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            stream = _locked(lock, target, flag)
        except OSError as error:
            raise unwritable(target, flag, error) from error
        yield
    finally:
        if stream is not None:
            lock.unlink(missing_ok=True)  # before the lock is released: later it may be the file of another process
            stream.close()
        with contextlib.suppress(OSError):  # it is not empty
            for folder in made:
                folder.rmdir()


def _locked(lock: pathlib.Path, target: pathlib.Path, flag: str) -> TextIO | None:
    """Returns the lock file, locked and with the name of this process in it; None if the file system has no locks."""
    while True:
        stream = open(lock, "a+", encoding="utf-8")  # noqa: SIM115
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.seek(0)
            holder = stream.read().strip() or "another process"
            stream.close()
            sentence = f"{target} is in use by {holder}; wait until that has ended, or give another --{flag}."
            raise UserError(sentence) from error
        except OSError as error:
            stream.close()
            lock.unlink(missing_ok=True)
            console.print(f"{lock} cannot be locked ({error.strerror}): start no second process in {target}.")
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(stream.fileno()), lock.stat()):
                break
        stream.close()  # its owner has just removed it
    stream.truncate(0)
    since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    stream.write(f"process {os.getpid()} on {socket.gethostname()} since {since}\n")
    stream.flush()
    return stream
