"""Workers of a contest that are killed at any moment: each training once, the same winner."""

import os
import pathlib
import subprocess
import sys
import time
from collections import Counter

from contest_trainings import CONFIG, FINALISTS
from optuna.trial import TrialState

from deeplab_dpc.search.contest.tasks import Contest
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.ledger import KEY, Ledger
from deeplab_dpc.search.service.storage import open_storage

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 120.0  # seconds, for machines under load


def _until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_four_workers_of_whom_two_are_killed_train_every_finalist_once_for_each_seed_and_budget(tmp_path):
    location = f"journal:{tmp_path}/study.journal"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[2]), str(HERE)])}
    logs = [tmp_path / f"{number}.log" for number in range(4)]
    workers = []
    try:
        for log, hangs in zip(logs, (50, 100, 0, 0), strict=True):
            with open(log, "wb") as stream:
                command = [sys.executable, str(HERE / "contest_worker.py"), location, str(tmp_path), str(hangs)]
                workers.append(subprocess.Popen(command, stdout=stream, stderr=stream, env=environment))
            if hangs == 50:  # alone, so that it has a training
                _until(lambda: "begun" in logs[0].read_text())
        # Each in the middle of a training: one in the first round, one in the last, unless it was too slow for that.
        workers[0].kill()
        _until(lambda: "steps 100" in logs[1].read_text() or workers[1].poll() == 0)
        workers[1].kill()
        assert [worker.wait(PATIENCE) for worker in workers[2:]] == [0, 0], [log.read_text() for log in logs]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()

    storage = open_storage(location, tmp_path, shared=True)
    ledger = Ledger(storage, "contest", Worker.current(), 600.0)
    ledger.refresh()
    outcome = Contest(ledger, FINALISTS, CONFIG).outcome()
    complete = [trial for trial in storage.get_all_trials(ledger.study_id) if trial.state == TrialState.COMPLETE]
    kept = [scored.cell.digest() for scored in outcome.rounds[1].entrants]
    expected = [f"{scored.cell.digest()} seed 3 steps 50" for scored in FINALISTS]
    expected += [f"{digest} seed {seed} steps 100" for seed in (3, 4) for digest in kept]
    assert Counter(trial.user_attrs[KEY] for trial in complete) == Counter(expected)
    assert outcome.winner().scored.name == "aspp"
    assert all("winner aspp" in log.read_text() and "rejected" not in log.read_text() for log in logs[2:])
