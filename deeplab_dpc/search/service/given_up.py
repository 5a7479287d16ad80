"""Tasks that were given up since their workers died again and again: what is known of each, in a line."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial

from deeplab_dpc.console import console
from deeplab_dpc.search import words
from deeplab_dpc.search.service.attempt import ERROR, STEPPED, understood, worker_of
from deeplab_dpc.search.service.ledger import Ledger

WITHOUT_A_WORD = "it ended without a word: killed by the system (memory, preemption) or by a crash"
AGAIN = "--retry_given_up tries again"


@dataclasses.dataclass(frozen=True)
class GivenUp:
    """A task that has no result and is not open.

    Attributes:
      name, draw, summary: name, draw and summary of its cell.
      cell: JSON.
      attempts: how many workers died at it.
      before_first_step: how many of them before the first step of the training: while compiling, or for want of memory.
      worker: the last of them, as host and process.
      error: what that one said.
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
        """Returns what lost attempts at one task tell."""
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
        """Returns what results.json holds of it beside the cell."""
        return {
            "attempts": self.attempts,
            "before_first_step": self.before_first_step,
            "last_worker": self.worker,
            "last_error": self.error,
        }


def given_up(*ledgers: Ledger) -> tuple[GivenUp, ...]:
    """Returns what the ledgers have given up, as far as they were read."""
    return tuple(GivenUp.of(attempts) for ledger in ledgers for attempts in ledger.given_up_attempts())


def retry(*ledgers: Ledger) -> None:
    """Opens again what they have given up, and says how many tasks that are."""
    count = sum(ledger.retry_given_up() for ledger in ledgers)
    console.print(f"Tried again, of what was given up: {words.count(count, 'task')}.")


def sentence(tasks: Sequence[GivenUp]) -> str | None:
    """Returns the last line of a search that has given up something, None of others."""
    if not tasks:
        return None
    more = f" and {len(tasks) - 1} more (report.html has all)" if len(tasks) > 1 else ""
    return f"Given up, since every worker that took it died: {tasks[0]}{more}; {AGAIN}."
