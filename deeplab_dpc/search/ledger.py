"""Tasks that many workers share, each done once: an Optuna study with leases.

An attempt at a task is a trial, created with the task's key in one step. Of the attempts at a key that have not failed,
the one with the lowest number counts: storages number trials in the order they are created, so that of two workers that
take a task at once both see whose it is. The worker renews the attempt's lease by counting up an attribute. Whoever
sees an attempt that does not move for the lease's length, or whose process has ended on the same machine, fails it; the
task is then open again, and what its first worker may still have to say is refused by the storage, since a failed trial
cannot be finished. Clocks of different machines are never compared.
"""

import dataclasses
import datetime
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from deeplab_dpc.errors import UserError
from deeplab_dpc.search.identity import Worker
from deeplab_dpc.search.storage import persistently

MAX_ATTEMPTS = 5  # at a task whose workers die; then it is given up
RENEWALS = 3  # in the length of a lease
KEY, WORKER, LEASE, RESULT, END = "key", "worker", "lease", "result", "end"


class LeaseLostError(Exception):
    """The task was given to another worker."""


@dataclasses.dataclass(frozen=True)
class Task:
    """Something to do once.

    Attributes:
      key: unique in its ledger.
      attributes: JSON that is kept with each attempt.
      params, distributions: Optuna's, for its dashboard; none where the task has no parameters.
    """

    key: str
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    params: Mapping[str, int] = dataclasses.field(default_factory=dict)
    distributions: Mapping[str, BaseDistribution] = dataclasses.field(default_factory=dict)


class Lease:
    """An attempt at a task, which its worker holds; renewed by a thread while it is entered as a context."""

    def __init__(self, ledger: "Ledger", task: Task, trial_id: int, seconds: float):
        self.task = task
        self.trial_id = trial_id
        self._ledger = ledger
        self._seconds = seconds
        self._lost = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def check(self) -> None:
        """Raises LeaseLostError if the task was given to another worker."""
        if self._lost.is_set():
            raise LeaseLostError(self.task.key)

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _renew(self) -> None:
        count = 0
        while not self._over.wait(self._seconds / RENEWALS):
            count += 1
            try:
                self._ledger.renew(self, count)
            except optuna.exceptions.UpdateFinishedTrialError:
                self._lost.set()
                return
            except UserError:
                continue  # The storage is away, for longer than the lease perhaps: finishing will tell.


class Ledger:
    """The tasks of a study.

    Args:
      storage: where it is kept.
      name: of the Optuna study.
      worker: this one.
      lease_seconds: an attempt that is not renewed for so long is lost.
      directions: of the values that results have.
      clock: monotonic seconds.
    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        worker: Worker,
        lease_seconds: float,
        directions: Sequence[StudyDirection] = (StudyDirection.MAXIMIZE,),
        clock: Callable[[], float] = time.monotonic,
    ):
        self._storage = storage
        self.worker = worker
        self._lease_seconds = lease_seconds
        self._clock = clock
        self.study_id = persistently(lambda: _open_study(storage, name, directions))
        self.finished: dict[str, FrozenTrial] = {}
        self.running: dict[str, FrozenTrial] = {}
        self._failed: dict[str, int] = {}  # attempts that were lost, by key
        self._unsettled: set[int] = set()  # numbers of attempts that were not over when last read
        self._read = 0  # all numbers below were read
        self._moved: dict[int, tuple[int, float]] = {}  # by number: the lease's count, and when it was first seen

    def refresh(self) -> None:
        """Reads what has happened, and fails attempts whose workers are gone."""
        trials = persistently(lambda: self._storage.get_all_trials(self.study_id, deepcopy=False))
        numbers = [*sorted(self._unsettled), *range(self._read, len(trials))]
        self._read = len(trials)
        self._unsettled.clear()
        self.running.clear()
        for number in numbers:
            self._take(trials[number])

    def _take(self, trial: FrozenTrial) -> None:
        key = trial.user_attrs[KEY]
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            self.finished.setdefault(key, trial)
        elif trial.state == TrialState.FAIL:
            if trial.user_attrs.get(END) == "lost":
                self._failed[key] = self._failed.get(key, 0) + 1
        elif self._is_lost(trial):
            self._end(trial._trial_id, "lost")
            self._unsettled.add(trial.number)  # read again: it may have been finished just now
        else:
            self._unsettled.add(trial.number)
            self.running.setdefault(key, trial)
            return
        self._moved.pop(trial.number, None)

    def _is_lost(self, trial: FrozenTrial) -> bool:
        worker = Worker.from_json(trial.user_attrs[WORKER])
        if worker == self.worker:
            return False
        if worker.is_gone():
            return True
        count = trial.user_attrs.get(LEASE, 0)
        seen, since = self._moved.setdefault(trial.number, (count, self._clock()))
        if seen != count:
            self._moved[trial.number] = (count, self._clock())
            return False
        return self._clock() - since > self._lease_seconds

    def is_open(self, key: str) -> bool:
        """Whether nobody has done the task, does it, or is known to fail at it, as far as was read."""
        return key not in self.finished and key not in self.running and not self.is_given_up(key)

    def is_given_up(self, key: str) -> bool:
        """Whether all attempts that a task may have were lost."""
        return key not in self.finished and self._failed.get(key, 0) >= MAX_ATTEMPTS

    def claim(self, tasks: Sequence[Task]) -> Lease | None:
        """Takes the first of the tasks that no other worker takes at the same time; None if they take all."""
        waiting = list(tasks)
        while waiting:
            task = waiting[0]
            number, trial_id = self._attempt(task)
            ahead = self._attempts_before(task.key, number)
            if not ahead:
                return Lease(self, task, trial_id, self._lease_seconds)
            self._end(trial_id, "surplus")
            # Others wanted the same and were as many: each of them is one further, so that they do not meet again.
            del waiting[: len(ahead)]
        return None

    def _attempt(self, task: Task) -> tuple[int, int]:
        template = create_trial(
            state=TrialState.RUNNING,
            params=dict(task.params),
            distributions=dict(task.distributions),
            user_attrs={**task.attributes, KEY: task.key, WORKER: self.worker.to_json(), LEASE: 0},
        )
        template.datetime_start = datetime.datetime.now()
        trial_id = persistently(lambda: self._storage.create_new_trial(self.study_id, template))
        return persistently(lambda: self._storage.get_trial_number_from_id(trial_id)), trial_id

    def _attempts_before(self, key: str, number: int) -> list[FrozenTrial]:
        """Attempts at a task that count before that number; those of this worker, which it does not know of, are ended.

        It has such where the storage took an attempt and could not say so.
        """
        trials = persistently(lambda: self._storage.get_all_trials(self.study_id, deepcopy=False))
        ahead = []
        candidates = [trials[earlier] for earlier in [*self._unsettled, *range(self._read, number)]]
        for trial in candidates:
            if trial.user_attrs[KEY] != key or trial.state == TrialState.FAIL:
                continue
            if Worker.from_json(trial.user_attrs[WORKER]) == self.worker:
                self._end(trial._trial_id, "surplus")
            else:
                ahead.append(trial)
        return ahead

    def renew(self, lease: Lease, count: int) -> None:
        """Says that the task is still being done.

        Raises:
          optuna.exceptions.UpdateFinishedTrialError: if it was given to another worker.
        """
        persistently(lambda: self._storage.set_trial_user_attr(lease.trial_id, LEASE, count), self._lease_seconds)

    def report(self, lease: Lease, step: int, value: float) -> None:
        """Keeps an intermediate value of a task.

        Raises:
          LeaseLostError: if it was given to another worker.
        """
        try:
            persistently(lambda: self._storage.set_trial_intermediate_value(lease.trial_id, step, value))
        except optuna.exceptions.UpdateFinishedTrialError as error:
            raise LeaseLostError(lease.task.key) from error

    def finish(self, lease: Lease, values: Sequence[float], result: Mapping[str, Any], complete: bool = True) -> bool:
        """Keeps the result; it is on disk when this returns. False if the task was given to another worker before.

        Args:
          values: one for each direction.
          result: JSON.
          complete: whether it is the whole result; otherwise Optuna's state is PRUNED.
        """
        state = TrialState.COMPLETE if complete else TrialState.PRUNED
        try:
            persistently(lambda: self._storage.set_trial_user_attr(lease.trial_id, RESULT, dict(result)))
            persistently(lambda: self._storage.set_trial_state_values(lease.trial_id, state, list(values)))
        except optuna.exceptions.UpdateFinishedTrialError:
            # Also where the storage took it and could not say so.
            return persistently(lambda: self._storage.get_trial(lease.trial_id)).state == state
        return True

    def release(self, lease: Lease) -> None:
        """Gives an unfinished task back at once."""
        self._end(lease.trial_id, "released")

    def _end(self, trial_id: int, reason: str) -> None:
        """Fails an attempt, unless it is over already."""
        try:
            persistently(lambda: self._storage.set_trial_user_attr(trial_id, END, reason))
            persistently(lambda: self._storage.set_trial_state_values(trial_id, TrialState.FAIL))
        except optuna.exceptions.UpdateFinishedTrialError:
            return

    def given_up(self) -> set[str]:
        """The keys of the tasks that are given up."""
        return {key for key in self._failed if self.is_given_up(key)}


def _open_study(storage: BaseStorage, name: str, directions: Sequence[StudyDirection]) -> int:
    try:
        return storage.create_new_study(list(directions), name)
    except optuna.exceptions.DuplicatedStudyError:
        return storage.get_study_id_from_name(name)


def results(ledger: Ledger, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The results of those of the tasks that are done."""
    return {key: ledger.finished[key].user_attrs[RESULT] for key in keys if key in ledger.finished}
