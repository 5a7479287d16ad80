"""The work loop of a worker: it takes open tasks one after another until all are done, by itself or by others."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from deeplab_dpc.errors import Stopped, UserError
from deeplab_dpc.search.service.attempt import Lease, LeaseLostError, Task
from deeplab_dpc.search.service.ledger import Ledger

SHORTEST_WAIT_SECONDS = 0.1  # time between reads of the storage while others do the remaining tasks
LONGEST_WAIT_SECONDS = 2.0
LONGEST_ERROR = 500  # number of characters of a worker's last error that are kept


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of a task.

    Attributes:
      values: values, one for each direction of the ledger's study.
      result: result as JSON.
      complete: bool, False if the task was stopped early.
    """

    values: Sequence[float]
    result: Mapping[str, Any]
    complete: bool = True


class Watch(Protocol):
    """The callbacks of the work loop."""

    def finished(self, task: Task, outcome: Outcome) -> None:
        """Receives a result that was stored."""

    def rejected(self, task: Task) -> None:
        """Receives a task whose result came after it was given to another worker, and is not stored."""

    def check(self) -> None:
        """Raises Stopped if the work is to stop."""


def work_off(
    ledger: Ledger,
    open_tasks: Callable[[], Sequence[Task]],
    is_done: Callable[[], bool],
    perform: Callable[[Lease], Outcome],
    watch: Watch,
) -> None:
    """Works on tasks until all are done.

    Args:
      ledger: ledger of the tasks.
      open_tasks: function that returns the tasks that may be begun and that no worker is doing, best first; called
        after each read of the storage.
      is_done: function that returns whether all tasks have results.
      perform: function that does a task; it must call `lease.check` and `watch.check` often.
      watch: callbacks of the work loop.

    Raises:
      Stopped: if `watch` raises it; the current task is returned to the ledger.
    """
    wait = SHORTEST_WAIT_SECONDS
    while True:
        watch.check()
        ledger.refresh()
        tasks = open_tasks()
        lease = ledger.claim(tasks)
        if lease is not None:
            _perform(ledger, lease, perform, watch)
            wait = SHORTEST_WAIT_SECONDS
        elif not tasks:
            if is_done():
                return
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)


def _perform(ledger: Ledger, lease: Lease, perform: Callable[[Lease], Outcome], watch: Watch) -> None:
    with lease:
        try:
            outcome = perform(lease)
        except LeaseLostError:
            watch.rejected(lease.task)
            return
        except (Stopped, KeyboardInterrupt):
            ledger.release(lease)
            raise
        except Exception as error:
            ledger.lose(lease, _in_a_line(error))
            raise
    if ledger.finish(lease, outcome.values, outcome.result, outcome.complete):
        watch.finished(lease.task, outcome)
    else:
        watch.rejected(lease.task)


def _in_a_line(error: Exception) -> str:
    """Returns the message of an error as one line."""
    said = " ".join(str(error).split())[:LONGEST_ERROR]
    return said if isinstance(error, UserError) else f"{type(error).__name__}: {said}"
