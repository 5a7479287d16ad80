"""The record of the finished stages of `fit` and of their time over all starts, fit.json; and the call of commands."""

import contextlib
import datetime
import importlib
import pathlib
import shlex
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from deeplab_dpc.cli.fit_sources import Sources
from deeplab_dpc.cli.main import parse
from deeplab_dpc.console import console, print_table
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import read_json, remove_partial, write_json
from deeplab_dpc.run_config import FIT_FILE

STAGES = {
    "convert": "images and labels to records",
    "check": "labels, classes, sizes, duplicates",
    "plan": "what fits into the time",
    "baseline": "a plain DeepLabv3+, trained and evaluated",
    "search": "cells scored by proxy on the baseline's features",
    "contest": "the best cells and ASPP, trained end to end",
    "finish": "the training of the best is continued to its end",
    "judge": "evaluation, and comparison with the baseline",
    "export": "SavedModel and TFLite, compared with the Keras model",
    "report": "index.html",
}
BOUND_FROM = "check"  # until it is done the flags may change, since flags correct errors in the data
BEAT_SECONDS = 5.0  # between two records of the used time; a killed process loses no more

State = dict[str, Any]


class Stages:
    """A record of the stages in a workdir, and of the time that they have used over all starts.

    Args:
      root: path of the workdir.
      given: flags of the command line, as text by name; later starts must have the same.
      seconds: time for all stages, in seconds.

    Raises:
      UserError: if the workdir was begun with other flags.
    """

    def __init__(self, root: pathlib.Path, given: Mapping[str, str], seconds: float):
        self.root = root
        self.seconds = seconds
        self._lock = threading.Lock()
        self._begun: float | None = None  # start of the current stage, by the monotonic clock
        remove_partial(root, FIT_FILE)
        stored: State | None = _read(root / FIT_FILE) if (root / FIT_FILE).exists() else None
        if stored is not None and stored["flags"] != dict(given):
            if BOUND_FROM in stored["done"]:
                raise UserError(_difference(root, stored["flags"], given))
            stored = None
        self._state: State = stored or {"flags": dict(given), "done": {}, "begun": {}}

    def is_done(self, name: str) -> bool:
        return name in self._state["done"]

    @property
    def flags(self) -> dict[str, str]:
        """Returns the flags of the command line, as text by name."""
        return dict(self._state["flags"])

    @property
    def sources(self) -> Sources | None:
        """Returns the files that were converted; None before that, and for workdirs of earlier versions."""
        found: Sources | None = self._state.get("sources")
        return found

    def repeat(self, name: str) -> None:
        """Marks a finished stage as not done."""
        self._state["done"].pop(name, None)

    def record_sources(self, sources: Sources) -> None:
        """Records the files that are converted; they are written when the stage ends."""
        self._state["sources"] = sources

    def seconds_of(self, name: str) -> float | None:
        """Returns the seconds of a finished stage; None for other stages, and for those that were left out."""
        seconds: float | None = self._state["done"].get(name)
        return seconds

    @property
    def used(self) -> float:
        """Returns the seconds of all stages so far, including the current one and those of killed processes."""
        current = 0.0 if self._begun is None else time.monotonic() - self._begun
        done: float = sum(seconds or 0.0 for seconds in self._state["done"].values())
        begun: float = sum(self._state["begun"].values())
        return done + begun + current

    @property
    def left(self) -> float:
        return self.seconds - self.used

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Runs a stage in a block: records its time every few seconds, and marks it as done if nothing is raised."""
        place, total = list(STAGES).index(name) + 1, len(STAGES)
        console.print(
            f"\n[{place}/{total}] {name}: {STAGES[name]}   (used {clock(self.used)}, left {clock(self.left)})",
            style="bold",
        )
        self._begun = time.monotonic()
        before = self._state["begun"].get(name, 0.0)
        stop = threading.Event()
        beat = threading.Thread(target=self._beat, args=(name, stop), daemon=True)
        beat.start()
        is_complete = False
        try:
            yield
            is_complete = True
        finally:
            stop.set()
            beat.join()
            seconds = before + time.monotonic() - self._begun
            self._begun = None
            self._state["begun"].pop(name, None)
            self._state["done" if is_complete else "begun"][name] = round(seconds, 1)
            self._write()

    def skip(self, name: str, reason: str) -> None:
        """Marks a stage as left out, and prints the reason."""
        if self.is_done(name):
            return
        place = list(STAGES).index(name) + 1
        console.print(f"\n[{place}/{len(STAGES)}] {name}: left out, {reason}", style="bold")
        self._state["done"][name] = None
        self._write()

    def show(self) -> None:
        """Prints the stages with their state and time."""
        rows = []
        for name, what in STAGES.items():
            seconds = self.seconds_of(name)
            begun = self._state["begun"].get(name)
            state = "done" if seconds is not None else "left out" if self.is_done(name) else "-"
            if begun is not None:
                state = "begun"
            time_taken = seconds if seconds is not None else begun
            rows.append((name, what, state, "" if time_taken is None else clock(time_taken)))
        print_table(f"{self.root}: {clock(self.used)} of {clock(self.seconds)}", ("stage", "what", "", "time"), rows)

    def _beat(self, name: str, stop: threading.Event) -> None:
        before, begun = self._state["begun"].get(name, 0.0), time.monotonic()
        while not stop.wait(BEAT_SECONDS):
            with self._lock:
                value = {**self._state, "begun": {**self._state["begun"]}}
                value["begun"][name] = round(before + time.monotonic() - begun, 1)
                with contextlib.suppress(OSError):  # a full disk stops the stage itself; the next record may succeed
                    write_json(self.root / FIT_FILE, value)

    def _write(self) -> None:
        with self._lock:
            write_json(self.root / FIT_FILE, self._state)


def _read(path: pathlib.Path) -> State:
    value = read_json(path, "record of the stages")
    keys = ("flags", "done", "begun")
    if not isinstance(value, dict) or not all(isinstance(value.get(key), dict) for key in keys):
        raise UserError(f"The record of the stages {path} is damaged; give another --workdir, or remove that file.")
    return value


def _difference(root: pathlib.Path, before: Mapping[str, str], now: Mapping[str, str]) -> str:
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    listed = ", ".join(
        f"--{name} (was {before.get(name, 'not given')}, now {now.get(name, 'not given')})" for name in names
    )
    return f"{root} was begun with other flags: {listed}; give the same flags to continue it, or another --workdir."


def clock(seconds: float) -> str:
    """Returns seconds as text such as 0:01:20, with a minus sign if they are negative."""
    return ("-" if seconds < 0 else "") + str(datetime.timedelta(seconds=round(abs(seconds))))


def flag_text(value: object) -> str:
    """Returns the value of a flag as text of a command line."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def command_line(command: str, arguments: Mapping[str, object]) -> str:
    """Returns a command line as text for a shell."""
    typed = [f"--{name}={shlex.quote(flag_text(value))}" for name, value in arguments.items()]
    return " ".join(["deeplab-dpc", command.replace("_", "-"), *typed])


def run_command(command: str, **arguments: object) -> None:
    """Runs a command in this process with the flags of a command line, which is printed."""
    argv = [f"--{name}={flag_text(value)}" for name, value in arguments.items()]
    console.print(command_line(command, arguments), style="bold")
    keras.utils.clear_session()
    importlib.import_module(f"deeplab_dpc.cli.{command}").main(parse(command, argv))
