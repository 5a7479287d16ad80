"""Tasks on leases, each done once whatever happens to its workers: in memory, with clocks that are set."""

import dataclasses

import optuna
import pytest
from optuna.study import StudyDirection

from deeplab_dpc.errors import UserError
from deeplab_dpc.search.service.attempt import END, ERROR, KEY, RESULT, STEPPED, LeaseLostError, Task
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.ledger import MAX_ATTEMPTS, Ledger

LEASE = 60.0
TASKS = [Task(str(number)) for number in range(4)]


def _results(ledger):
    return {key: trial.user_attrs[RESULT] for key, trial in ledger.finished.items()}


class Clock:
    """Seconds, as they are set."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def storage():
    return optuna.storages.InMemoryStorage()


@pytest.fixture
def join(storage, clock):
    """Makes workers of one study, by default each on another machine."""
    count = iter(range(1000))

    def make(name=None, place=None):
        number = next(count)
        worker = Worker(f"host{number}", 1, 1, place, name or str(number))
        return Ledger(storage, "study", worker, LEASE, clock=clock)

    return make


def _claim(ledger, *keys):
    ledger.refresh()
    return ledger.claim([task for task in TASKS if task.key in keys])


def _ends(storage, key):
    """State and reason of all attempts at a task."""
    return [
        (trial.state.name, trial.user_attrs.get(END))
        for trial in storage.get_all_trials(0)
        if trial.user_attrs[KEY] == key
    ]


def _watch(ledger, clock, seconds, step=LEASE / 4):
    """Looks again and again for so long."""
    until = clock.now + seconds
    while clock.now < until:
        clock.now += step
        ledger.refresh()


def test_result_is_seen_by_others_with_its_task(join):
    first, second = join(), join()
    lease = first.claim([Task("a", {"cell": [1, 2]})])
    assert first.finish(lease, [0.5], {"miou": 0.5})
    second.refresh()
    assert second.finished["a"].user_attrs["cell"] == [1, 2]
    assert second.finished["a"].values == [0.5]
    assert _results(second) == {"a": {"miou": 0.5}}
    assert not second.is_open("a")


def test_task_that_another_does_is_not_open(join):
    first, second = join(), join()
    assert _claim(first, "0") is not None
    second.refresh()
    assert not second.is_open("0")
    assert second.is_open("1")
    assert list(second.running) == ["0"]


def test_of_two_that_saw_the_same_open_tasks_the_lower_number_wins(join, storage):
    first, second = join(), join()
    first.refresh()
    second.refresh()
    assert first.claim(TASKS).task.key == "0"
    assert second.claim(TASKS).task.key == "1"  # after a surplus attempt at the first
    assert _ends(storage, "0") == [("RUNNING", None), ("FAIL", "surplus")]
    assert _ends(storage, "1") == [("RUNNING", None)]


def test_second_of_two_at_the_last_open_task_goes_without(join, storage):
    first, second = join(), join()
    first.refresh()
    second.refresh()
    lease = first.claim(TASKS[:1])
    assert second.claim(TASKS[:1]) is None
    assert first.finish(lease, [1.0], {})
    assert _ends(storage, "0") == [("COMPLETE", None), ("FAIL", "surplus")]


def test_task_that_was_finished_after_the_look_is_not_done_again(join):
    first, second = join(), join()
    second.refresh()
    first.finish(_claim(first, "0"), [1.0], {})
    assert second.claim(TASKS[:1]) is None


def test_earlier_surplus_attempt_that_is_not_yet_ended_counts_until_it_is(join, storage):
    first, second, third = join(), join(), join()
    for ledger in (first, second, third):
        ledger.refresh()
    lease = first.claim(TASKS[:1])
    second._attempt(TASKS[0])  # and dies before it looks
    first.release(lease)
    assert third.claim(TASKS[:1]) is None
    third.refresh()
    assert not third.is_open("0")
    assert [end for _, end in _ends(storage, "0")] == ["released", None, "surplus"]


def test_silent_worker_loses_its_task_after_the_lease(join, clock, storage):
    dead, other = join(), join()
    _claim(dead, "0")
    other.refresh()
    _watch(other, clock, LEASE)
    assert not other.is_open("0")
    _watch(other, clock, LEASE / 4)
    assert other.is_open("0")
    assert _claim(other, "0") is not None
    assert _ends(storage, "0") == [("FAIL", "lost"), ("RUNNING", None)]


def test_renewed_lease_lasts(join, clock, storage):
    living, other = join(), join()
    lease = _claim(living, "0")
    other.refresh()
    for count in range(1, 10):
        living._renew(lease.trial_id, count)
        _watch(other, clock, LEASE * 0.75)
    assert _ends(storage, "0") == [("RUNNING", None)]


def test_time_in_which_nobody_looked_counts_no_more_than_a_renewal(join, clock, storage):
    living, other = join(), join()
    lease = _claim(living, "0")
    other.refresh()
    clock.now += 1000 * LEASE  # the storage was away, or the machine asleep
    other.refresh()
    living._renew(lease.trial_id, 1)
    _watch(other, clock, LEASE)
    assert _ends(storage, "0") == [("RUNNING", None)]


def test_task_of_a_process_that_ended_on_this_machine_is_lost_at_once(join, storage):
    here = Worker.current()
    dead = join()
    dead.worker = dataclasses.replace(here, started=here.started - 1)
    _claim(dead, "0")
    other = join()
    other.refresh()
    assert _ends(storage, "0") == [("FAIL", "lost")]
    assert other.is_open("0")


def test_task_of_a_process_elsewhere_is_not_lost_at_once(join, storage):
    here = Worker.current()
    elsewhere = join()
    elsewhere.worker = dataclasses.replace(here, started=here.started - 1, place="another boot")
    _claim(elsewhere, "0")
    join().refresh()
    assert _ends(storage, "0") == [("RUNNING", None)]


def test_late_result_is_rejected(join, clock, storage):
    late, other = join(), join()
    lease = _claim(late, "0")
    other.refresh()
    _watch(other, clock, 2 * LEASE)
    with pytest.raises(LeaseLostError):
        late._renew(lease.trial_id, 1)
    with pytest.raises(LeaseLostError):
        late.report(lease, 10, 0.5)
    assert not late.finish(lease, [0.9], {"miou": 0.9})
    assert other.finish(_claim(other, "0"), [0.5], {"miou": 0.5})
    late.refresh()
    assert _results(late) == {"0": {"miou": 0.5}}
    assert _ends(storage, "0") == [("FAIL", "lost"), ("COMPLETE", None)]


def test_lease_that_was_lost_is_told_to_who_does_the_task(join, clock):
    late, other = join(), join()
    lease = _claim(late, "0")
    lease._interval = 0.001
    other.refresh()
    _watch(other, clock, 2 * LEASE)
    with lease:
        lease._thread.join(30.0)
        with pytest.raises(LeaseLostError):
            lease.check()


@pytest.mark.parametrize("complete", [True, False])
def test_finish_whose_answer_was_lost_is_accepted(join, storage, monkeypatch, complete):
    ledger = join()
    lease = _claim(ledger, "0")
    write = storage.set_trial_state_values

    def write_and_fail(*args):
        write(*args)
        monkeypatch.setattr(storage, "set_trial_state_values", write)
        raise optuna.exceptions.StorageInternalError("connection lost")

    monkeypatch.setattr(storage, "set_trial_state_values", write_and_fail)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert ledger.finish(lease, [1.0], {"miou": 1.0}, complete)
    assert _ends(storage, "0") == [("COMPLETE" if complete else "PRUNED", None)]


def test_attempt_whose_answer_was_lost_is_ended(join, storage, monkeypatch):
    ledger = join()
    create = storage.create_new_trial

    def create_and_fail(*args):
        create(*args)
        monkeypatch.setattr(storage, "create_new_trial", create)
        raise optuna.exceptions.StorageInternalError("connection lost")

    monkeypatch.setattr(storage, "create_new_trial", create_and_fail)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    lease = _claim(ledger, "0")
    assert _ends(storage, "0") == [("FAIL", "surplus"), ("RUNNING", None)]
    assert ledger.finish(lease, [1.0], {})


def test_released_task_is_open_at_once_and_does_not_count_as_lost(join, storage):
    first, second = join(), join()
    for _ in range(MAX_ATTEMPTS + 1):
        first.release(_claim(first, "0"))
    second.refresh()
    assert second.is_open("0")
    assert second.given_up() == set()


def test_release_does_not_wait_for_a_storage_that_is_away(join, monkeypatch):
    ledger = join()
    lease = _claim(ledger, "0")
    waited = []

    def away(call, patience):
        waited.append(patience)
        raise UserError("--storage has not answered")

    monkeypatch.setattr("deeplab_dpc.search.service.ledger.ask_of_study", away)
    ledger.release(lease)
    assert waited == [5.0]


def _lose(join, clock, key, times):
    """Loses a task so often; the ledger that saw it."""
    observer = join()
    for _ in range(times):
        _claim(join(), key)
        observer.refresh()
        _watch(observer, clock, 2 * LEASE)
    return observer


def test_task_whose_workers_die_again_and_again_is_given_up(join, clock):
    observer = _lose(join, clock, "0", MAX_ATTEMPTS - 1)
    assert observer.is_open("0")
    again = _lose(join, clock, "0", 1)
    observer.refresh()
    for ledger in (observer, again, join()):
        ledger.refresh()
        assert not ledger.is_open("0")
        assert ledger.given_up() == {"0"}
        assert ledger.is_open("1")


def test_task_that_was_given_up_meanwhile_is_not_begun(join, clock, storage):
    _lose(join, clock, "0", MAX_ATTEMPTS - 1)
    behind = join()
    behind.refresh()
    _lose(join, clock, "0", 1)
    assert behind.claim(TASKS[:1]) is None
    assert _ends(storage, "0")[-1] == ("FAIL", "surplus")


def test_task_is_not_given_up_while_somebody_does_it(join, clock, storage):
    _lose(join, clock, "0", MAX_ATTEMPTS - 1)
    living, crashed, observer = join(), join(), join()
    lease = _claim(living, "0")
    crashed._attempt(TASKS[0])  # one too many, whose worker dies before it can say so
    observer.refresh()
    for count in range(1, 9):
        living._renew(lease.trial_id, count)
        _watch(observer, clock, LEASE / 2)
    assert [end for _, end in _ends(storage, "0")].count("lost") == MAX_ATTEMPTS
    assert observer.given_up() == set()
    assert living.finish(lease, [1.0], {})
    observer.refresh()
    assert observer.given_up() == set()
    assert "0" in observer.finished


def test_trials_of_something_else_are_refused(join, storage):
    ledger = join()
    storage.create_new_trial(ledger.study_id)
    with pytest.raises(UserError, match="Trial 0 of the study was made by something else.* another --study_name"):
        ledger.refresh()


def test_gap_in_what_the_storage_shows_is_waited_for(join, storage, monkeypatch):
    first, second = join(), join()
    for key in ("0", "1"):
        _claim(first, key)
    show = storage.get_all_trials

    def show_less(*args, **kwargs):
        monkeypatch.setattr(storage, "get_all_trials", show)
        return show(*args, **kwargs)[1:]

    monkeypatch.setattr(storage, "get_all_trials", show_less)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    second.refresh()
    assert sorted(second.running) == ["0", "1"]


def test_study_of_several_objectives(storage):
    directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    ledger = Ledger(storage, "pareto", Worker.current(), LEASE, directions)
    assert ledger.finish(ledger.claim(TASKS[:1]), [0.5, 7.0], {})
    assert storage.get_study_directions(ledger.study_id) == directions
    assert storage.get_all_trials(ledger.study_id)[0].values == [0.5, 7.0]


def test_given_up_task_is_tried_again_on_request(join, clock, storage):
    observer = _lose(join, clock, "0", MAX_ATTEMPTS)
    observer.refresh()
    assert [len(attempts) for attempts in observer.given_up_attempts()] == [MAX_ATTEMPTS]
    other = join()
    assert join().retry_given_up() == 1
    for ledger in (observer, other):
        ledger.refresh()
        assert ledger.is_open("0")
        assert ledger.given_up_attempts() == []
    assert observer.num_lost == MAX_ATTEMPTS
    assert join().retry_given_up() == 0
    behind = join()  # has read nothing of all this
    assert behind.finish(behind.claim(TASKS[:1]), [1.0], {"miou": 1.0})
    other.refresh()
    assert _results(other) == {"0": {"miou": 1.0}}


def test_task_that_is_tried_again_may_be_lost_as_often_as_before(join, clock):
    _lose(join, clock, "0", MAX_ATTEMPTS)
    join().retry_given_up()
    assert _lose(join, clock, "0", MAX_ATTEMPTS - 1).is_open("0")
    observer = _lose(join, clock, "0", 1)
    observer.refresh()
    assert observer.given_up() == {"0"}


def test_first_step_of_an_attempt_is_noted_once(join, storage, monkeypatch):
    ledger = join()
    lease = _claim(ledger, "0")
    assert STEPPED not in storage.get_trial(lease.trial_id).user_attrs
    lease.check()
    assert storage.get_trial(lease.trial_id).user_attrs[STEPPED] is True
    monkeypatch.setattr(storage, "set_trial_user_attr", None)
    lease.check()


def test_what_a_worker_died_of_is_kept(join, storage):
    ledger, other = join(), join()
    lease = _claim(ledger, "0")
    ledger.lose(lease, "MemoryError: no")
    assert _ends(storage, "0") == [("FAIL", "lost")]
    assert storage.get_trial(lease.trial_id).user_attrs[ERROR] == "MemoryError: no"
    other.refresh()
    assert other.is_open("0")
    assert other.num_lost == 1


def test_study_that_was_deleted_is_said(join, storage):
    ledger = join()
    lease = _claim(ledger, "0")
    storage.delete_study(ledger.study_id)
    for ask in (ledger.refresh, lambda: ledger._renew(lease.trial_id, 1), lambda: ledger.finish(lease, [1.0], {})):
        with pytest.raises(UserError, match="not in --storage any more: it was deleted while"):
            ask()
