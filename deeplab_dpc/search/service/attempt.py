"""An attempt at a task: the lease of the worker that makes it, which lasts while the worker renews it, and its Optuna
trial.
"""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from deeplab_dpc.errors import UserError
from deeplab_dpc.search.service.identity import Worker

LOST, RELEASED, SURPLUS = "lost", "released", "surplus"  # why an attempt failed
RETRY = "retry"  # end of a trial that is not an attempt: lost attempts before it no longer count
KEY, WORKER, LEASE, RESULT, END = "key", "worker", "lease", "result", "end"
STEPPED, ERROR = "stepped", "error"  # whether a training step was done; the error that ended the worker
STOP_SECONDS = 5.0  # time that a stopping worker waits for a storage that does not answer


class LeaseLostError(Exception):
    """The error of a worker whose task was given to another worker."""


@dataclasses.dataclass(frozen=True)
class Task:
    """A unit of work to be done once.

    Attributes:
      key: key that is unique in its ledger.
      attributes: JSON that is stored with each attempt.
      params, distributions: Optuna's parameters, for its dashboard; empty if the task has none.
    """

    key: str
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    params: Mapping[str, int] = dataclasses.field(default_factory=dict)
    distributions: Mapping[str, BaseDistribution] = dataclasses.field(default_factory=dict)


class Lease:
    """A worker's attempt at a task; within its context, a thread renews it.

    Args:
      task: task to do.
      trial_id: id of the attempt's trial.
      interval: seconds between renewals.
      renew: function called with the number of the renewal, from 1; raises LeaseLostError if the lease is over, and
        UserError if the storage does not answer.
      note_step: function called once, when the first step is done; raises the same errors.
    """

    def __init__(
        self,
        task: Task,
        trial_id: int,
        interval: float,
        renew: Callable[[int], None],
        note_step: Callable[[], None] = lambda: None,
    ):
        self.task = task
        self.trial_id = trial_id
        self._interval = interval
        self._renew = renew
        self._note_step = note_step
        self._has_stepped = False
        self._lost = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def check(self) -> None:
        """Raises LeaseLostError if the task was given to another worker; to be called after each step of the task."""
        if self._lost.is_set():
            raise LeaseLostError(self.task.key)
        if not self._has_stepped:
            self._has_stepped = True
            self._note_step()

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join(STOP_SECONDS)  # it may be waiting for the storage; later renewals are refused

    def _keep(self) -> None:
        count = 0
        while not self._over.wait(self._interval):
            count += 1
            try:
                self._renew(count)
            except LeaseLostError:
                self._lost.set()
                return
            except UserError:
                continue  # The storage cannot be reached, perhaps for longer than the lease: `finish` detects that.


@contextlib.contextmanager
def understood(trial: FrozenTrial) -> Iterator[None]:
    """Turns errors in reading a trial within the context into a UserError.

    Raises:
      UserError: if the trial lacks an attribute, or has one of another type.
    """
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        said = " ".join(str(error).split()).rstrip(".")
        raise UserError(
            f"Trial {trial.number} of the study is not as searches write them ({type(error).__name__}: {said}); "
            "restore the storage from a copy, give another --study_name, or search in another --workdir."
        ) from error


def key_of(trial: FrozenTrial) -> str:
    """Returns the key of the task.

    Raises:
      UserError: if the trial does not belong to a ledger.
    """
    key = trial.user_attrs.get(KEY)
    if not isinstance(key, str):
        raise UserError(
            f"Trial {trial.number} of the study was made by something else, or by another version; give another "
            "--study_name, or search in another --workdir."
        )
    return key


def worker_of(trial: FrozenTrial) -> Worker:
    """Returns the worker that made the attempt.

    Raises:
      UserError: if the trial does not name it.
    """
    with understood(trial):
        return Worker.from_json(trial.user_attrs[WORKER])
