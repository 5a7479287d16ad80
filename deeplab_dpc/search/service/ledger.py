"""Tasks that many workers share, each done once: an Optuna study with leases.

An attempt at a task is a trial, created with the task's key in one step. Of the attempts at a key that have not failed,
the one with the lowest number counts: storages number trials in the order they are created, so that two workers that
take a task at the same time both see which of them has it. The worker renews the attempt's lease by incrementing an
attribute. A worker that sees an attempt unchanged for the length of a lease, or an attempt whose process has ended on
the same machine, fails it; the task is then open again, and the storage refuses a late result of its first worker,
since a failed trial cannot be finished. Clocks of different machines are never compared, and time in which an observer
did not read the storage, or the storage did not answer, counts as at most one interval between renewals.

Guaranteed: at most one result of each task is kept, exactly one if any of its attempts finishes, and all workers agree
on it and on which tasks are given up. Assumed: the storage numbers trials without gaps, shows the creator of a trial
all trials created before it, and never changes a finished one. This holds for a journal whose file system has working
locks, for PostgreSQL and MySQL, and for a proxy with one thread before any database. The length of a lease, and whether
a worker really died, affect only the time that is lost.
"""

import contextlib
import datetime
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from deeplab_dpc.errors import UserError
from deeplab_dpc.search.service.attempt import (
    END,
    ERROR,
    KEY,
    LEASE,
    LOST,
    RELEASED,
    RESULT,
    RETRY,
    STEPPED,
    STOP_SECONDS,
    SURPLUS,
    WORKER,
    Lease,
    LeaseLostError,
    Task,
    key_of,
    worker_of,
)
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.storage import PATIENCE_SECONDS, ask_of_study

MAX_ATTEMPTS = 5  # attempts at a task whose workers die, after which it is given up
RENEWALS = 3  # number of renewals in the length of a lease


class Ledger:
    """The tasks of a study.

    Args:
      storage: storage of the study.
      name: name of the Optuna study.
      worker: worker of this process.
      lease_seconds: seconds without renewal after which an attempt is lost.
      directions: directions of the results' values.
      clock: function that returns monotonic seconds.
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
        self.study_id = ask_of_study(lambda: _open_study(storage, name, directions))
        self.finished: dict[str, FrozenTrial] = {}
        self.running: dict[str, FrozenTrial] = {}
        self._lost: dict[str, list[FrozenTrial]] = {}  # lost attempts that count, by key
        self.num_lost = 0  # attempts whose workers were gone
        self._unsettled: set[int] = set()  # numbers of attempts that were not over when last read
        self._read = 0  # all numbers below were read
        self._silence: dict[int, tuple[int, float]] = {}  # by number: renewals of the lease, seconds since the last
        self._looked = clock()
        self._waited = 0.0  # seconds since the last read, as far as they count

    def refresh(self) -> None:
        """Reads the storage, and fails attempts whose workers have ended.

        Raises:
          UserError: if the study has trials that were not created by a ledger.
        """
        trials = self._trials()
        now = self._clock()
        # Over a longer time this worker or the storage was unavailable, and other workers may not have renewed either.
        self._waited, self._looked = min(now - self._looked, self._lease_seconds / RENEWALS), now
        numbers = [*sorted(self._unsettled), *range(self._read, len(trials))]
        self._read = len(trials)
        self._unsettled.clear()
        self.running.clear()
        for number in numbers:
            self._take(trials[number])

    def _trials(self) -> list[FrozenTrial]:
        """Returns all attempts, each at the index of its number."""

        def read() -> list[FrozenTrial]:
            trials = self._storage.get_all_trials(self.study_id, deepcopy=False)
            # A proxy with several threads can show a trial a moment before one that was created earlier.
            if trials and trials[-1].number != len(trials) - 1:
                raise optuna.exceptions.StorageInternalError(
                    "trials are missing in its list; give Optuna's proxy one thread"
                )
            return trials

        return ask_of_study(read)

    def _take(self, trial: FrozenTrial) -> None:
        key = key_of(trial)
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            self.finished.setdefault(key, trial)
        elif trial.state == TrialState.FAIL:
            if trial.user_attrs.get(END) == LOST:
                self._lost.setdefault(key, []).append(trial)
                self.num_lost += 1
            elif trial.user_attrs.get(END) == RETRY:
                self._lost.pop(key, None)
        elif self._is_lost(trial):
            self._end(trial._trial_id, LOST)
            self._unsettled.add(trial.number)  # read again: it may have been finished just now
        else:
            self._unsettled.add(trial.number)
            self.running.setdefault(key, trial)
            return
        self._silence.pop(trial.number, None)

    def _is_lost(self, trial: FrozenTrial) -> bool:
        worker = worker_of(trial)
        if worker == self.worker:
            return False
        if worker.is_gone():
            return True
        count = trial.user_attrs.get(LEASE, 0)
        seen, silent = self._silence.get(trial.number, (None, 0.0))
        silent = silent + self._waited if seen == count else 0.0
        self._silence[trial.number] = (count, silent)
        return silent > self._lease_seconds

    def is_open(self, key: str) -> bool:
        """Returns whether a task is not done, not in progress and not given up, as of the last read."""
        return key not in self.finished and key not in self.running and not self.is_given_up(key)

    def is_given_up(self, key: str) -> bool:
        """Returns whether all permitted attempts at a task were lost."""
        return key not in self.finished and key not in self.running and len(self._lost.get(key, ())) >= MAX_ATTEMPTS

    def claim(self, tasks: Sequence[Task]) -> Lease | None:
        """Returns a lease of the first task that no other worker takes at the same time; None if others take all."""
        waiting = list(tasks)
        while waiting:
            task = waiting[0]
            trial_id = self._attempt(task)
            ahead = self._attempts_before(task.key, trial_id)
            if not ahead:
                renew, note_step = (functools.partial(call, trial_id) for call in (self._renew, self._note_step))
                return Lease(task, trial_id, self._lease_seconds / RENEWALS, renew, note_step)
            self._end(trial_id, SURPLUS)
            # `ahead` attempts came first; each worker skips a different number of tasks to avoid another collision.
            del waiting[:ahead]
        return None

    def _attempt(self, task: Task) -> int:
        template = create_trial(
            state=TrialState.RUNNING,
            params=dict(task.params),
            distributions=dict(task.distributions),
            user_attrs={**task.attributes, KEY: task.key, WORKER: self.worker.to_json(), LEASE: 0},
        )
        template.datetime_start = datetime.datetime.now()
        return ask_of_study(lambda: self._storage.create_new_trial(self.study_id, template))

    def _attempts_before(self, key: str, trial_id: int) -> int:
        """Returns the number of valid attempts at a task before that one; 1 if the task was given up meanwhile.

        Unknown attempts of this worker are ended: the storage recorded them but could not confirm it.
        """
        trials = self._trials()
        ahead, lost = 0, len(self._lost.get(key, ()))
        number = next(trial.number for trial in reversed(trials) if trial._trial_id == trial_id)
        for earlier in [*self._unsettled, *range(self._read, number)]:
            trial = trials[earlier]
            if key_of(trial) != key:
                continue
            if trial.state == TrialState.FAIL:
                end = trial.user_attrs.get(END)
                lost = 0 if end == RETRY else lost + (end == LOST)
            elif worker_of(trial) == self.worker:
                self._end(trial._trial_id, SURPLUS)
            else:
                ahead += 1
        return max(ahead, int(lost >= MAX_ATTEMPTS))

    def _renew(self, trial_id: int, count: int) -> None:
        self._write_unless_over(
            lambda: self._storage.set_trial_user_attr(trial_id, LEASE, count), f"trial {trial_id}", self._lease_seconds
        )

    def _note_step(self, trial_id: int) -> None:
        self._write_unless_over(
            lambda: self._storage.set_trial_user_attr(trial_id, STEPPED, True), f"trial {trial_id}", self._lease_seconds
        )

    def report(self, lease: Lease, step: int, value: float) -> None:
        """Stores an intermediate value of a task.

        Raises:
          LeaseLostError: if the task was given to another worker.
        """
        self._write_unless_over(
            lambda: self._storage.set_trial_intermediate_value(lease.trial_id, step, value), lease.task.key
        )

    def _write_unless_over(self, write: Callable[[], None], what: str, patience: float = PATIENCE_SECONDS) -> None:
        try:
            ask_of_study(write, patience)
        except optuna.exceptions.UpdateFinishedTrialError as error:
            raise LeaseLostError(what) from error

    def finish(self, lease: Lease, values: Sequence[float], result: Mapping[str, Any], complete: bool = True) -> bool:
        """Stores the result, which is on disk when this returns; returns False if the task was given to another worker
        before.

        Args:
          lease: lease of the task.
          values: values of the result, one for each direction.
          result: result as JSON.
          complete: bool, whether the result is complete; otherwise Optuna's state is PRUNED.
        """
        state = TrialState.COMPLETE if complete else TrialState.PRUNED
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
            ask_of_study(lambda: self._storage.set_trial_user_attr(lease.trial_id, RESULT, dict(result)))
            if ask_of_study(lambda: self._storage.set_trial_state_values(lease.trial_id, state, list(values))):
                return True
        # The storage may have stored the result without confirming it, and then refuses it the second time.
        return ask_of_study(lambda: self._storage.get_trial(lease.trial_id)).state == state

    def release(self, lease: Lease) -> None:
        """Returns an unfinished task to the ledger at once, or when the lease ends if the storage does not answer."""
        with contextlib.suppress(UserError):
            self._end(lease.trial_id, RELEASED, STOP_SECONDS)

    def lose(self, lease: Lease, error: str) -> None:
        """Records the worker's fatal error, and ends the attempt as lost; if the storage does not answer, the attempt
        ends with its lease.
        """
        with contextlib.suppress(UserError, optuna.exceptions.UpdateFinishedTrialError):
            write = functools.partial(self._storage.set_trial_user_attr, lease.trial_id, ERROR, error)
            ask_of_study(write, STOP_SECONDS)
            self._end(lease.trial_id, LOST, STOP_SECONDS)

    def _end(self, trial_id: int, reason: str, patience: float = PATIENCE_SECONDS) -> None:
        """Fails an attempt, unless it is over already."""
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
            ask_of_study(lambda: self._storage.set_trial_user_attr(trial_id, END, reason), patience)
            ask_of_study(lambda: self._storage.set_trial_state_values(trial_id, TrialState.FAIL), patience)

    def given_up(self) -> set[str]:
        """Returns the keys of the tasks that are given up."""
        return {key for key in self._lost if self.is_given_up(key)}

    def given_up_attempts(self) -> list[list[FrozenTrial]]:
        """Returns the lost attempts at each task that is given up."""
        return [attempts for key, attempts in self._lost.items() if self.is_given_up(key)]

    def retry_given_up(self) -> int:
        """Opens the given-up tasks again, for all workers; returns their number."""
        self.refresh()
        keys = self.given_up()
        for key in keys:
            attributes = {**self._lost[key][-1].user_attrs, WORKER: self.worker.to_json(), END: RETRY}
            marker = create_trial(state=TrialState.FAIL, user_attrs=attributes)
            ask_of_study(functools.partial(self._storage.create_new_trial, self.study_id, marker))
        self.refresh()
        return len(keys)

    def silence(self, trial: FrozenTrial) -> float:
        """Returns the seconds for which a running attempt's lease has not been renewed."""
        return self._silence.get(trial.number, (0, 0.0))[1]


def _open_study(storage: BaseStorage, name: str, directions: Sequence[StudyDirection]) -> int:
    try:
        return storage.create_new_study(list(directions), name)
    except optuna.exceptions.DuplicatedStudyError:
        return storage.get_study_id_from_name(name)
