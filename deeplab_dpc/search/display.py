"""What a worker shows while it searches."""

from typing import Any

from rich.progress import Progress, TaskID

from deeplab_dpc.console import console, progress_bar
from deeplab_dpc.errors import Stopped
from deeplab_dpc.search.ledger import Task
from deeplab_dpc.search.work import Outcome
from deeplab_dpc.training.interruption import Interruption


class SearchWatch:
    """Progress bars of a worker, and what ends its work: to be entered as a context."""

    def __init__(self) -> None:
        self._progress: Progress = progress_bar()
        self._interruption = Interruption()
        self._overall: TaskID | None = None
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> "SearchWatch":
        self._interruption.__enter__()
        self._progress.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._progress.stop()
        self._interruption.__exit__(*exception)

    def stage(self, description: str, total: int) -> None:
        """A part of the search begins."""
        if self._overall is not None:
            self._progress.remove_task(self._overall)
        self._overall = self._progress.add_task(description, total=total, note="")

    def advanced(self, done: int, best: float | None) -> None:
        """So many cells of the part are done, by all workers."""
        if self._overall is not None:
            note = "" if best is None else f"best {best:.4f}"
            self._progress.update(self._overall, completed=done, note=note)

    def step(self, task: Task, step: int, total: int, loss: float) -> None:
        """A step of a training is done."""
        if task.key not in self._bars:
            self._bars[task.key] = self._progress.add_task(f"  {task.attributes['name']}", total=total, note="")
        self._progress.update(self._bars[task.key], completed=step, total=total, note=f"loss {loss:.3f}")

    def finished(self, task: Task, outcome: Outcome) -> None:
        self._forget(task)
        attributes, result = task.attributes, outcome.result
        loss = f"loss {result['loss']:.4f}  " if "loss" in result else ""
        stopped = "" if outcome.complete else f"stopped after {result['steps']} steps  "
        console.print(
            f"{attributes['name']:<10} {attributes['draw']:<9} mIOU {result['miou']:.4f}  {loss}"
            f"{result['seconds']:6.1f} s  {stopped}{attributes['summary']}"
        )

    def rejected(self, task: Task) -> None:
        self._forget(task)
        console.print(f"{task.attributes['name']}: its lease ended before its result came; another worker has it now.")

    def _forget(self, task: Task) -> None:
        bar = self._bars.pop(task.key, None)
        if bar is not None:
            self._progress.remove_task(bar)

    def check(self) -> None:
        """Raises Stopped if a signal came."""
        if self._interruption.received is not None:
            raise Stopped(self._interruption.received, "all scores are kept")
