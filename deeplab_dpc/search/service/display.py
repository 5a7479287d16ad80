"""The display of a study in progress: a live view in a terminal, lines in a log."""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from rich.console import Group, JustifyMethod, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deeplab_dpc.console import console
from deeplab_dpc.errors import Stopped, UserError
from deeplab_dpc.search import words
from deeplab_dpc.search.service.attempt import RESULT, Task, worker_of
from deeplab_dpc.search.service.live import Progress, StudyObserver, WorkerState
from deeplab_dpc.search.service.work import Outcome
from deeplab_dpc.training.interruption import Interruption

LOOK_SECONDS = 2.0  # time between reads of the storage
LINE_SECONDS = 60.0  # time between lines in a log
SHOWN_WORKERS = 20


class StudyView:
    """A context manager that shows a study from another thread, so that trainings do not wait for the storage."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._progress: Progress | None = None
        self._line_at: float | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.notes: dict[str, str] = {}  # progress of this process's worker, by task
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=2, transient=True)

    def __enter__(self) -> "StudyView":
        if console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(LOOK_SECONDS)  # it may be waiting for the storage
        self._live.stop()

    def observe(self, observer: StudyObserver, local: Callable[[], Mapping[str, str]] | None = None) -> None:
        """Shows the state that the observer reads, from now on.

        Args:
          observer: observer of the study.
          local: function that returns the names of the workers that this process has started, by host and process; if
            it is given, the results of all workers are shown too, and not only their number.
        """

        def look() -> None:
            # The storage cannot be reached; if that lasts, the workers report it.
            with contextlib.suppress(UserError):
                progress = observer.look()
                if local is not None:
                    for trial in progress.finished:
                        console.print(finished_line(trial))
                    progress = with_local_workers(progress, local())
                self.show(progress)

        def look_until_over() -> None:
            look()
            while not self._over.wait(LOOK_SECONDS):
                look()
            look()  # for the tasks that were finished last

        self._thread = threading.Thread(target=look_until_over, daemon=True)
        self._thread.start()

    def show(self, progress: Progress) -> None:
        """Shows a new state; a log gets one line per minute."""
        self._progress = progress
        now = self._clock()
        if console.is_terminal or (self._line_at is not None and now - self._line_at < LINE_SECONDS):
            return
        self._line_at = now
        console.print(status_line(progress))

    def _render(self) -> RenderableType:
        notes = [Text(f"{name}: {note}") for name, note in list(self.notes.items())]
        progress = self._progress
        if progress is None:
            return Group(Text("Looking at the study..."), *notes)
        bar = Table.grid(padding=(0, 1))
        bar.add_row(progress.stage, ProgressBar(progress.total, progress.done, width=40), status_line(progress, False))
        best = []
        if progress.best is not None:
            best = [Text(f"best: {progress.best.miou:.4f}  {progress.best.name}  {progress.best.summary}")]
        return Group(bar, *best, worker_table(progress.workers), *notes)


def status_line(progress: Progress, whole: bool = True) -> str:
    """Returns the state as one line; without `whole`, the parts that the live view shows elsewhere are left out."""
    parts = [f"{progress.done:,} of {progress.total:,}"]
    if whole:
        parts[0] = f"{progress.stage}: {parts[0]}"
        if progress.best is not None:
            parts.append(f"best {progress.best.miou:.4f} ({progress.best.name})")
    if progress.per_hour is not None and progress.left_seconds is not None:
        parts.append(f"{progress.per_hour:,.0f} an hour")
        if progress.done < progress.total:
            parts.append(f"{words.duration(progress.left_seconds)} left")
    if whole:
        busy = sum(worker.silent_seconds is not None for worker in progress.workers)
        parts.append(f"{words.count(busy, 'worker')} at work")
    if progress.lost:
        parts.append(words.count(progress.lost, "lost attempt"))
    if progress.given_up:
        parts.append(f"{progress.given_up} given up")
    return ", ".join(parts)


def worker_table(workers: tuple[WorkerState, ...]) -> Table:
    """Returns a table with one row per worker."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    columns: Sequence[tuple[str, JustifyMethod]]
    columns = (("worker", "left"), ("does", "left"), ("last heartbeat", "right"), ("done", "right"))
    for column, justify in columns:
        table.add_column(column, justify=justify, no_wrap=True)
    for worker in workers[:SHOWN_WORKERS]:
        silent = worker.silent_seconds
        seen = words.NONE if silent is None else f"{silent:.0f} s ago"
        table.add_row(worker.name, worker.doing, seen, f"{worker.done:,}")
    if len(workers) > SHOWN_WORKERS:
        table.add_row(f"and {len(workers) - SHOWN_WORKERS} more", "", "", "")
    return table


def result_line(attributes: Mapping[str, Any], result: Mapping[str, Any], complete: bool) -> str:
    """Returns the line that describes a finished task."""
    loss = f"loss {result['loss']:.4f}  " if result.get("loss") is not None else ""
    stopped = "" if complete else f"stopped after {result['steps']} steps  "
    return (
        f"{attributes['name']:<10} {attributes['draw']:<9} mIOU {result['miou']:.4f}  {loss}"
        f"{result['seconds']:6.1f} s  {stopped}{attributes['summary']}"
    )


def finished_line(trial: FrozenTrial) -> str:
    """Returns the line of a finished attempt, with its worker."""
    line = result_line(trial.user_attrs, trial.user_attrs[RESULT], trial.state == TrialState.COMPLETE)
    return f"{line}  by {worker_of(trial)}"


def with_local_workers(progress: Progress, names: Mapping[str, str]) -> Progress:
    """Returns the progress with the names of this machine's workers, including those that have had no task yet."""
    seen = {worker.name for worker in progress.workers}
    starting = [WorkerState(name, "starts, or waits", None, 0) for name in names if name not in seen]
    named = [
        dataclasses.replace(worker, name=f"{names[worker.name]} ({worker.name})") if worker.name in names else worker
        for worker in [*progress.workers, *starting]
    ]
    return dataclasses.replace(progress, workers=tuple(sorted(named, key=lambda worker: worker.name)))


class SearchWatch:
    """A context manager that shows a worker's progress and its study, and can stop its work.

    Args:
      live: bool, whether the study is shown too; if several processes run, another one shows it.
    """

    def __init__(self, live: bool = True) -> None:
        self._interruption = Interruption()
        self._view = StudyView() if live else None

    def __enter__(self) -> "SearchWatch":
        self._interruption.__enter__()
        if self._view is not None:
            self._view.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._view is not None:
            self._view.__exit__(*exception)
        self._interruption.__exit__(*exception)

    def observe(self, make_observer: Callable[[], StudyObserver]) -> None:
        """Shows the state that an observer from `make_observer` reads, from now on."""
        if self._view is not None:
            self._view.observe(make_observer())

    def step(self, task: Task, step: int, total: int, loss: float) -> None:
        """Shows a finished step of a training."""
        if self._view is not None:
            self._view.notes[task.attributes["name"]] = f"step {step:,} of {total:,}, loss {loss:.3f}"

    def finished(self, task: Task, outcome: Outcome) -> None:
        self._forget(task)
        console.print(result_line(task.attributes, outcome.result, outcome.complete))

    def rejected(self, task: Task) -> None:
        self._forget(task)
        console.print(
            f"{task.attributes['name']}: its lease ended before its result came; another worker has the task now."
        )

    def _forget(self, task: Task) -> None:
        if self._view is not None:
            self._view.notes.pop(task.attributes["name"], None)

    def check(self) -> None:
        """Raises Stopped if a signal was received."""
        if self._interruption.received is not None:
            raise Stopped(self._interruption.received, "all scores are kept")
