"""Workers of this machine: processes that a parent starts, monitors and ends without working itself.

They are in sessions of their own, so that Ctrl-C reaches only the parent, which passes it on once. A worker checks
every second whether its parent still runs (the kernel could report it, but only on Linux); if not, it ends as for
SIGTERM, and so returns its task.
"""

import dataclasses
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from deeplab_dpc.errors import Stopped, UserError
from deeplab_dpc.training.interruption import Interruption

PARENT_VARIABLE = "DEEPLAB_DPC_PARENT"  # environment variable of a worker with its parent's process id
MAX_RESTARTS = 3  # restarts of each worker
COMMAND = "search"  # command of a worker, with which its error messages begin
USER_ERROR = 2  # exit status of a worker that was given invalid input
GRACE_SECONDS = 60.0  # time to return a task
POLL_SECONDS = 0.2


@dataclasses.dataclass
class _Worker:
    """A worker; `process` is None before it is started and after it has ended for good."""

    name: str
    log: pathlib.Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    is_done: bool = False


class LocalWorkers:
    """Processes of one command, as a context manager that ends all of them.

    Args:
      command: program and arguments.
      environments: environment variables of each process, in addition to this process's own.
      folder: folder of the logs, N.log for process N, from 1.
    """

    def __init__(self, command: Sequence[str], environments: Sequence[Mapping[str, str]], folder: pathlib.Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._command = list(command)
        self._last_words = ""  # description of the worker that died last
        self._workers = [
            _Worker(f"worker {number}", folder / f"{number}.log", worker_environment(environment))
            for number, environment in enumerate(environments, start=1)
        ]

    def __enter__(self) -> "LocalWorkers":
        for worker in self._workers:
            self._start(worker)
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        # Not after a second Ctrl-C, which ends all processes at once.
        if kind is None or issubclass(kind, Exception):
            self.stop(signal.SIGTERM)
        for process in self._processes():
            process.kill()
            process.wait()

    def _start(self, worker: _Worker) -> None:
        with open(worker.log, "ab") as log:
            log.write(f"--- {worker.name} starts, {time.strftime('%Y-%m-%d %H:%M:%S')}\n".encode())
            log.flush()
            worker.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=worker.environment,
                start_new_session=True,
            )

    def _processes(self) -> list[subprocess.Popen[bytes]]:
        return [worker.process for worker in self._workers if worker.process is not None]

    @property
    def names(self) -> dict[str, str]:
        """Returns the names of the running workers, by host and process as in storages."""
        host = socket.gethostname()
        return {f"{host}:{w.process.pid}": w.name for w in self._workers if w.process is not None}

    def check(self) -> list[str]:
        """Restarts workers that died; returns a sentence on each.

        Raises:
          UserError: with the message of a worker that was given invalid input, or if all workers have died too often.
        """
        sentences = []
        for worker in self._workers:
            status = None if worker.process is None else worker.process.poll()
            if status is None:
                continue
            worker.process = None
            if status == 0:
                worker.is_done = True
                continue
            said = last_line(worker.log)
            self._last_words = (
                f"the last was {worker.name} ({describe_status(status)}), and {worker.log} ends with: {said}"
            )
            if status == USER_ERROR:
                raise UserError(own_sentence(worker.log))
            again = worker.restarts < MAX_RESTARTS
            outcome = "it is started again" if again else f"it is not started again after {MAX_RESTARTS + 1} starts"
            sentences.append(
                f"{worker.name} died: {describe_status(status)}; {outcome}. {worker.log} ends with: {said}"
            )
            if again:
                worker.restarts += 1
                self._start(worker)
        if not self._processes() and not self.is_done:
            raise UserError(
                f"Every worker has died {MAX_RESTARTS + 1} times, and the search is not done: {self._last_words}; the "
                "same command continues."
            )
        return sentences

    @property
    def is_done(self) -> bool:
        """Returns whether no worker runs, and one has ended because there was nothing left to do."""
        return not self._processes() and any(worker.is_done for worker in self._workers)

    def stop(self, received: signal.Signals) -> None:
        """Passes a signal on, and waits until all workers have returned their tasks."""
        for process in self._processes():
            process.send_signal(received)
        ends = time.monotonic() + GRACE_SECONDS
        while any(process.poll() is None for process in self._processes()) and time.monotonic() < ends:
            time.sleep(POLL_SECONDS)


def run_child(command: Sequence[str], log: pathlib.Path, variables: Mapping[str, str] | None = None) -> None:
    """Runs a process whose result a worker needs; its output is shown, and its errors are in the log.

    Args:
      command: program and arguments.
      log: file for its stderr.
      variables: environment variables of the process, in addition to this process's own.

    Raises:
      UserError: if it fails.
      Stopped: if a signal was received, which is passed on.
    """
    with Interruption() as interruption, open(log, "wb") as stream:
        environment = worker_environment(variables or {})
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=stream, env=environment, start_new_session=True
        )
        try:
            while process.poll() is None:
                if interruption.received is not None:
                    process.terminate()
                    process.wait()
                    raise Stopped(interruption.received, "what was done is kept")
                time.sleep(POLL_SECONDS)
        finally:
            process.kill()
    if process.returncode == USER_ERROR:
        raise UserError(own_sentence(log))
    if process.returncode:
        raise UserError(f"Caching the features failed ({describe_status(process.returncode)}); {log} says why.")


def worker_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Returns this process's environment with those variables, for a child that is to end with this process."""
    package = str(pathlib.Path(__file__).resolve().parents[2])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, PARENT_VARIABLE: str(os.getpid()), **variables}


def is_child() -> bool:
    """Returns whether this process was started by a parent that monitors it."""
    return PARENT_VARIABLE in os.environ


def end_with_parent() -> None:
    """Makes this process end when its parent ends for whatever reason."""
    threading.Thread(target=_watch_parent, args=(int(os.environ[PARENT_VARIABLE]),), daemon=True).start()


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    # The first signal is recorded, so that the task can be returned; the second ends a process that fails to do so.
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def describe_status(status: int) -> str:
    """Returns an exit status of subprocess as text."""
    return f"exit status {status}" if status >= 0 else f"killed by {signal.Signals(-status).name}"


def last_line(log: pathlib.Path) -> str:
    """Returns the last line of a log that is not empty."""
    return next(_lines_from_the_end(log), "(it is empty)")


def own_sentence(log: pathlib.Path) -> str:
    """Returns the error message of a command without its name; libraries may have written after it."""
    said = (line.partition(": ") for line in _lines_from_the_end(log))
    return next((sentence for command, _, sentence in said if sentence and command == COMMAND), last_line(log))


def _lines_from_the_end(log: pathlib.Path) -> Iterator[str]:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return (line.strip() for line in reversed(lines) if line.strip())
