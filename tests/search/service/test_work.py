"""A worker's day: tasks in their order, what was lost again, and what is at hand given back."""

import signal

import optuna
import pytest

from deeplab_dpc.errors import Stopped
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.ledger import END, Ledger, Task
from deeplab_dpc.search.service.work import Outcome, work_off

TASKS = [Task(str(number)) for number in range(4)]


class Watch:
    """Keeps what it is told."""

    def __init__(self):
        self.seen = []

    def check(self):
        pass

    def finished(self, task, outcome):
        self.seen.append(("finished", task.key))

    def rejected(self, task):
        self.seen.append(("rejected", task.key))


@pytest.fixture
def storage():
    return optuna.storages.InMemoryStorage()


@pytest.fixture
def ledger(storage):
    return Ledger(storage, "study", Worker.current(), 60.0)


def _work(ledger, perform, watch):
    def open_tasks():
        return [task for task in TASKS if ledger.is_open(task.key)]

    work_off(ledger, open_tasks, lambda: len(ledger.finished) == len(TASKS), perform, watch)


def _ends(storage):
    return [
        (trial.user_attrs["key"], trial.state.name, trial.user_attrs.get(END)) for trial in storage.get_all_trials(0)
    ]


def test_tasks_are_worked_off_in_order_and_a_lost_one_again(ledger, storage):
    watch = Watch()

    def perform(lease):
        if lease.task.key == "1" and ("rejected", "1") not in watch.seen:
            ledger._end(lease.trial_id, "lost")  # as another worker does
        return Outcome([1.0], {"miou": 1.0}, complete=lease.task.key != "3")

    _work(ledger, perform, watch)
    assert watch.seen == [("finished", "0"), ("rejected", "1"), ("finished", "1"), ("finished", "2"), ("finished", "3")]
    assert _ends(storage) == [
        ("0", "COMPLETE", None),
        ("1", "FAIL", "lost"),
        ("1", "COMPLETE", None),
        ("2", "COMPLETE", None),
        ("3", "PRUNED", None),
    ]


def test_worker_that_looks_while_it_works_does_not_take_its_own_task_for_lost(storage):
    hours = iter(range(100))
    ledger = Ledger(storage, "study", Worker.current(), 60.0, clock=lambda: 3600.0 * next(hours))
    ledger.refresh()
    lease = ledger.claim(TASKS[:1])
    for _ in range(10):
        ledger.refresh()
    assert ledger.finish(lease, [1.0], {})


@pytest.mark.parametrize("exception", [Stopped(signal.SIGTERM, "all is kept"), KeyboardInterrupt()])
def test_task_at_hand_is_given_back_by_a_worker_that_stops(ledger, storage, exception):
    def perform(lease):
        raise exception

    with pytest.raises(type(exception)):
        _work(ledger, perform, Watch())
    assert _ends(storage) == [("0", "FAIL", "released")]
    watch = Watch()
    _work(ledger, lambda lease: Outcome([1.0], {}), watch)
    assert watch.seen[0] == ("finished", "0")
