"""The identity of a worker, and whether a worker on this machine is still running."""

import dataclasses
import functools
import os
import pathlib
import socket
import uuid
from typing import Any, Self


@dataclasses.dataclass(frozen=True)
class Worker:
    """A process that works on a study.

    Attributes:
      host: name of its machine.
      pid: id of the process.
      started: start time of the process, in the system's ticks since boot; None if the system does not report it.
      place: scope of the pid: one boot of one machine, and one pid namespace; None if unknown.
      nonce: random text that distinguishes two workers of one process.
    """

    host: str
    pid: int
    started: int | None
    place: str | None
    nonce: str

    @classmethod
    def current(cls) -> Self:
        """Returns this process as a new worker."""
        return cls(socket.gethostname(), os.getpid(), _started(os.getpid()), _place(), uuid.uuid4().hex[:8])

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        return cls(**value)

    def is_gone(self) -> bool:
        """Returns whether the process is known to have ended; False if that cannot be determined here."""
        if self.place is None or self.place != _place() or self.started is None:
            return False
        try:
            os.kill(self.pid, 0)  # harmless; /proc alone may hide the processes of other users
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return _started(self.pid) != self.started


@functools.cache
def _place() -> str | None:
    """Returns the boot and the namespace in which pids are unique (Linux); None if the system does not report them."""
    try:
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _started(pid: int) -> int | None:
    """Returns the start time of a process; None if there is no such process, or it is dead and waits for its parent."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    state, started = fields[0], int(fields[19])
    return None if state in "ZX" else started
