"""The progress of a study according to its storage, for workers of this machine and of others alike."""

import collections
import dataclasses
import time
from collections.abc import Callable, Sequence

from optuna.trial import FrozenTrial, TrialState

from deeplab_dpc.search.scored import GIVEN
from deeplab_dpc.search.service.attempt import RESULT, worker_of
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.ledger import Ledger

WINDOW_SECONDS = 900.0  # window of a rate; longer if it holds fewer than WINDOW_RESULTS results
WINDOW_RESULTS = 20
SHOWN_SECONDS = 600.0  # time for which a worker without a task is shown after its last one


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage of the work.

    Attributes:
      name: name that is shown.
      ledger: ledger of its tasks, which belongs to an observer and not to a worker.
      total: number of tasks; an upper bound if the space may have fewer cells.
    """

    name: str
    ledger: Ledger
    total: int


@dataclasses.dataclass(frozen=True)
class Best:
    """The best result of a stage, among candidates that were trained to the end."""

    miou: float
    name: str
    summary: str


@dataclasses.dataclass(frozen=True)
class WorkerState:
    """The state of a worker as seen from this process.

    Attributes:
      name: host and process of the worker.
      doing: description of its task, or of its waiting.
      silent_seconds: seconds since its lease was last renewed; None if it has no lease.
      done: number of tasks of the stage that it has finished.
    """

    name: str
    doing: str
    silent_seconds: float | None
    done: int


@dataclasses.dataclass(frozen=True)
class Progress:
    """The state of a study at one moment.

    Attributes:
      stage: name of the stage.
      done, total: number of tasks that are done, and of all tasks.
      best: best result, or None if there is none.
      per_hour: number of tasks per hour that all workers finish; None if none was finished during the observation.
      lost: number of attempts in this stage whose workers died.
      given_up: number of tasks that are left out, since all of their attempts were lost.
      workers: workers with a task, and those that had one recently.
      finished: attempts that have finished since the last read, in any stage; empty at the first read.
    """

    stage: str
    done: int
    total: int
    best: Best | None
    per_hour: float | None
    lost: int
    given_up: int
    workers: tuple[WorkerState, ...]
    finished: tuple[FrozenTrial, ...] = ()

    @property
    def left_seconds(self) -> float | None:
        """Returns the seconds until the stage is done, at this rate."""
        return (self.total - self.done) / self.per_hour * 3600 if self.per_hour else None


class Rate:
    """The number of results per hour in the recent past, computed from counts of results at times in seconds."""

    def __init__(self) -> None:
        self._seen: collections.deque[tuple[float, int]] = collections.deque()

    def see(self, now: float, done: int) -> float | None:
        """Returns the rate at that time; None before the first new result since the first call."""
        if not self._seen or self._seen[-1][1] != done:
            self._seen.append((now, done))
        while len(self._seen) > WINDOW_RESULTS and now - self._seen[1][0] > WINDOW_SECONDS:
            self._seen.popleft()
        first, before = self._seen[0]
        return (done - before) / (now - first) * 3600 if done > before and now > first else None


class _StageView:
    """The state of a stage between two reads of the storage."""

    def __init__(self, stage: Stage):
        self.stage = stage
        self.done: collections.Counter[str] = collections.Counter()  # by worker
        self._finished: set[str] | None = None
        self._rate = Rate()
        self._best: Best | None = None
        self._last: dict[str, tuple[Worker, float]] = {}  # workers, and when they were last seen to have a task

    @property
    def is_over(self) -> bool:
        return len(self.stage.ledger.finished) + len(self.stage.ledger.given_up()) >= self.stage.total

    @property
    def has_begun(self) -> bool:
        return bool(self.stage.ledger.finished or self.stage.ledger.running)

    def look(self, now: float, is_current: bool) -> Progress:
        ledger = self.stage.ledger
        new = [ledger.finished[key] for key in ledger.finished.keys() - (self._finished or set())]
        new.sort(key=lambda trial: trial.number)
        for trial in new:
            self._take(trial)
            if self._finished is not None:
                self._saw(trial, now)
        fresh = () if self._finished is None else tuple(new)
        self._finished = set(ledger.finished)
        given_up, done = len(ledger.given_up()), len(ledger.finished)
        return Progress(
            stage=self.stage.name,
            done=done + given_up,
            total=max(self.stage.total, done + given_up),
            best=self._best,
            per_hour=self._rate.see(now, done) if is_current else None,
            lost=ledger.num_lost,
            given_up=given_up,
            workers=tuple(self._workers(now)),
            finished=fresh,
        )

    def _take(self, trial: FrozenTrial) -> None:
        attributes = trial.user_attrs
        self.done[str(worker_of(trial))] += 1
        miou = attributes[RESULT].get("miou")
        if trial.state != TrialState.COMPLETE or miou is None or attributes.get("draw") == GIVEN:
            return
        if self._best is None or miou > self._best.miou:
            self._best = Best(miou, attributes["name"], attributes["summary"])

    def _workers(self, now: float) -> list[WorkerState]:
        ledger = self.stage.ledger
        states = []
        for trial in ledger.running.values():
            name = self._saw(trial, now)
            doing = f"{trial.user_attrs['name']} ({trial.user_attrs['draw']})"
            states.append(WorkerState(name, doing, ledger.silence(trial), self.done[name]))
        busy = {state.name for state in states}
        states += [
            WorkerState(name, "waits", None, self.done[name])
            for name, (worker, last) in self._last.items()
            if name not in busy and now - last < SHOWN_SECONDS and not worker.is_gone()
        ]
        return sorted(states, key=lambda state: state.name)

    def _saw(self, trial: FrozenTrial, now: float) -> str:
        worker = worker_of(trial)
        self._last[str(worker)] = (worker, now)
        return str(worker)


class StudyObserver:
    """Observes a study.

    Args:
      stages: stages in order.
      clock: function that returns monotonic seconds.
    """

    def __init__(self, stages: Sequence[Stage], clock: Callable[[], float] = time.monotonic):
        self._views = [_StageView(stage) for stage in stages]
        self._clock = clock

    def look(self) -> Progress:
        """Reads the storage and returns the progress; like a worker, it fails attempts whose workers have ended."""
        for view in self._views:
            view.stage.ledger.refresh()
        now = self._clock()
        begun = [view for view in self._views if view.has_begun]
        running = [view for view in begun if view.stage.ledger.running]  # an earlier stage may go on with more tasks
        current = (running or begun or self._views[:1])[-1]
        place = self._views.index(current)
        if current.is_over and place + 1 < len(self._views) and self._views[place + 1].stage.total:
            place += 1
        looks = [view.look(now, is_current=view is self._views[place]) for view in self._views]
        return dataclasses.replace(looks[place], finished=tuple(trial for look in looks for trial in look.finished))
