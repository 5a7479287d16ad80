"""Tasks that were given up since their workers died repeatedly, and a line of text on each."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial

from deeplab_dpc.console import console
from deeplab_dpc.search import words
from deeplab_dpc.search.service.attempt import ERROR, STEPPED, understood, worker_of
from deeplab_dpc.search.service.ledger import Ledger

WITHOUT_A_WORD = "it ended without a message: killed by the system (memory, preemption) or by a crash"
AGAIN = "--retry_given_up tries again"


@dataclasses.dataclass(frozen=True)
class GivenUp:
    """A task without a result that is not open.

    Attributes:
      name, draw, summary: name, draw and summary of its cell.
      cell: JSON of the cell.
      attempts: number of workers that died.
      before_first_step: number of them that died before the first training step, while compiling or for lack of memory.
      worker: last of these workers, as host and process.
      error: last error of that worker.
    """

    name: str
    draw: str
    summary: str
    cell: Any
    attempts: int
    before_first_step: int
    worker: str
    error: str

    @classmethod
    def of(cls, attempts: Sequence[FrozenTrial]) -> "GivenUp":
        """Returns the given-up task that has these lost attempts."""
        last = attempts[-1].user_attrs
        with understood(attempts[-1]):
            cell = (last["name"], last["draw"], last["summary"], last["cell"])
        before_first_step = sum(STEPPED not in attempt.user_attrs for attempt in attempts)
        worker = str(worker_of(attempts[-1]))
        return cls(*cell, len(attempts), before_first_step, worker, last.get(ERROR, WITHOUT_A_WORD))

    def __str__(self) -> str:
        before = f"{self.before_first_step} of them before the first step, " if self.before_first_step else ""
        return f"{self.name} ({self.draw}): {self.attempts} attempts, {before}the last by {self.worker}: {self.error}"

    def to_json(self) -> dict[str, Any]:
        """Returns the entry of results.json, without the cell."""
        return {
            "attempts": self.attempts,
            "before_first_step": self.before_first_step,
            "last_worker": self.worker,
            "last_error": self.error,
        }


def given_up(*ledgers: Ledger) -> tuple[GivenUp, ...]:
    """Returns the tasks that are given up, as of the last reads of the ledgers."""
    return tuple(GivenUp.of(attempts) for ledger in ledgers for attempts in ledger.given_up_attempts())


def retry(*ledgers: Ledger) -> None:
    """Opens the given-up tasks again, and prints their number if there are any."""
    count = sum(ledger.retry_given_up() for ledger in ledgers)
    if count:
        console.print(f"Trying {words.count(count, 'task')} again that had been given up.")


def sentence(tasks: Sequence[GivenUp]) -> str | None:
    """Returns the last line of a search that has given up tasks; None if there are none."""
    if not tasks:
        return None
    more = f" and {len(tasks) - 1} more (report.html has all)" if len(tasks) > 1 else ""
    return f"Given up, since every worker that tried it died: {tasks[0]}{more}; {AGAIN}."
