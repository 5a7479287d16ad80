"""Workers that are killed and stopped at any moment: nothing is lost, nothing done twice, nothing drawn differently."""

import contextlib
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter

import fake_worker
import optuna
import pytest
from fake_worker import CONFIG, FEATURE_SHAPE, FEW, fake_score
from optuna.trial import TrialState

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.search.scored import Scored
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.ledger import END, KEY, WORKER
from deeplab_dpc.search.service.storage import open_storage
from deeplab_dpc.search.service.work import Outcome, work_off
from deeplab_dpc.search.study import SearchStudy

HERE = pathlib.Path(__file__).resolve().parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # where nobody waits for a disk
PATIENCE = 120.0  # seconds, for machines under load


def _until(condition, what, workers=()):
    """Waits until `condition()` is true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        for worker in workers:
            worker.check()
        time.sleep(0.02)


class Process:
    """A worker in a process of its own."""

    def __init__(self, location, folder, name, role="normal"):
        self.log = folder / f"{name}.log"
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / "fake_worker.py"), location, str(folder), role],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=ENVIRONMENT,
            )
        self.pid = self._process.pid

    def said(self, word):
        """What it printed after a word at the start of a line."""
        lines = [line.partition(" ") for line in self.log.read_text(encoding="utf-8").splitlines()]
        return [rest for first, _, rest in lines if first == word]

    def check(self):
        """Fails if it failed."""
        status = self._process.poll()
        assert status in (None, 0, -signal.SIGKILL), self.log.read_text(encoding="utf-8")[-3000:]

    def send(self, number):
        os.kill(self.pid, number)

    def wait(self):
        assert self._process.wait(PATIENCE) == 0, self.log.read_text(encoding="utf-8")[-3000:]

    def end(self):
        self._process.kill()
        self._process.wait()


@pytest.fixture
def start(tmp_path):
    """Starts workers, and ends those that still run after the test."""
    with contextlib.ExitStack() as stack:

        def start_worker(location, name, role="normal"):
            process = Process(location, tmp_path, name, role)
            stack.callback(process.end)
            return process

        yield start_worker


@contextlib.contextmanager
def _journal():
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield f"journal:{folder}/study.journal"


@contextlib.contextmanager
def _proxy():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        command = [sys.executable, str(HERE / "fake_proxy.py"), f"{folder}/study.db", str(port)]
        server = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
        try:
            yield f"grpc://localhost:{port}"
        finally:
            server.kill()
            server.wait()


@contextlib.contextmanager
def _postgres():
    pytest.importorskip("psycopg2", reason="PostgreSQL's driver is not installed")
    if shutil.which("initdb") is None or shutil.which("postgres") is None:
        pytest.skip("PostgreSQL's server (initdb, postgres) is not installed")
    # It refuses to run as root, who may become another.
    other = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(
        dir=MEMORY
    ) as folder:  # with a short name, since those of sockets may have 107 characters
        if other:
            shutil.chown(folder, other["user"], other["group"])
        quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **other}
        command = ["initdb", "--pgdata=data", "--auth=trust", "--username=search", "--no-sync"]
        subprocess.run(command, check=True, **quiet)
        settings = {"listen_addresses": "", "unix_socket_directories": folder, "fsync": "off"}
        options = [f"--{name}={value}" for name, value in settings.items()]
        server = subprocess.Popen(["postgres", "-D", "data", *options], **quiet)
        try:
            _until(lambda: _accepts(f"{folder}/.s.PGSQL.5432") or server.poll() is not None, "the start of PostgreSQL")
            assert server.poll() is None
            yield f"postgresql://search@/postgres?host={folder}"
        finally:
            server.send_signal(signal.SIGQUIT)  # at once
            server.wait()


def _accepts(path):
    import psycopg2

    try:
        psycopg2.connect(host=str(pathlib.Path(path).parent), user="search", dbname="postgres").close()
    except psycopg2.OperationalError:
        return False
    return True


@pytest.fixture(params=["journal", "proxy", "postgres"])
def location(request):
    """--storage of an empty storage."""
    with {"journal": _journal, "proxy": _proxy, "postgres": _postgres}[request.param]() as where:
        yield where


def _study(storage, config=CONFIG):
    return SearchStudy(storage, "search", config, FEATURE_SHAPE, Worker.current(), 600.0)


def _perform(lease):
    score = fake_score(Cell.from_json(lease.task.attributes["cell"]))
    return Outcome([score.miou], score.to_json())


def _draws(study) -> list[tuple[str, str, float]]:
    """Digest, draw and score of all cells in their order."""
    scored: list[Scored] = study.warm_starts() + study.candidates()
    return [(one.cell.digest(), one.draw, one.score.miou) for one in scored]


@pytest.fixture(scope="module")
def alone():
    """What one worker draws."""
    study = _study(optuna.storages.InMemoryStorage())
    with open(os.devnull, "w", encoding="utf-8") as nothing, contextlib.redirect_stdout(nothing):
        work_off(study.ledger, study.open_tasks, study.is_done, _perform, fake_worker.PrintingWatch())
    return _draws(study)


def _attempts(location, tmp_path, config=CONFIG):
    """The study when it is done, with all attempts."""
    storage = open_storage(location, tmp_path, shared=True)
    study = _study(storage, config)
    study.ledger.refresh()
    assert study.is_done()
    return study, storage.get_all_trials(study.ledger.study_id)


def test_killed_workers_lose_nothing_and_change_nothing(location, alone, start, tmp_path):
    rng = random.Random(5)
    workers = [start(location, f"worker{i}") for i in range(4)]
    _until(lambda: all(worker.said("ready") == [""] for worker in workers), "the start of the workers", workers)
    (tmp_path / "go").touch()
    for victim, moment in ((0, rng.randrange(10, 60)), (1, rng.randrange(70, 120))):
        _until(lambda m=moment: sum(len(worker.said("finished")) for worker in workers) >= m, "progress", workers)
        time.sleep(rng.uniform(0.0, 0.03))
        workers[victim].send(signal.SIGKILL)
        if victim == 0:
            workers.append(start(location, "worker0_again"))
    for worker in workers[2:]:
        worker.wait()

    study, trials = _attempts(location, tmp_path)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    assert Counter(trial.user_attrs[KEY] for trial in complete) == Counter(str(number) for number in range(200))
    draws = _draws(study)
    assert len({digest for digest, _, _ in draws}) == 200
    assert draws == alone  # so that the best is the same too
    killed = {worker.pid for worker in workers[:2]}
    lost = [trial for trial in trials if trial.user_attrs.get(END) == "lost"]
    assert {trial.user_attrs[WORKER]["pid"] for trial in lost} <= killed
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    assert {trial.user_attrs[END] for trial in failed} <= {"lost", "surplus"}
    assert len(complete) + len(failed) == len(trials)
    assert all(worker.said("rejected") == [] for worker in workers)


def test_result_of_a_worker_that_was_taken_for_dead_is_rejected(location, start, tmp_path):
    (tmp_path / "go").touch()
    late = start(location, "late", role="late")
    _until(lambda: late.said("begun") == ["0"], "the first trial", [late])
    late.send(signal.SIGSTOP)

    hours = iter(range(10_000))
    study = _study(open_storage(location, tmp_path, shared=True), FEW)
    study.ledger._clock = lambda: 3600.0 * next(hours)
    while "0" not in study.ledger.finished:
        study.ledger.refresh()
        lease = study.ledger.claim([task for task in study.open_tasks() if task.key == "0"])
        if lease is not None:
            outcome = _perform(lease)
            assert study.ledger.finish(lease, outcome.values, outcome.result)

    (tmp_path / "end").touch()
    late.send(signal.SIGCONT)
    late.wait()
    assert late.said("rejected") == ["0"]
    assert "0" not in late.said("finished")
    _, trials = _attempts(location, tmp_path, FEW)
    attempts = [trial for trial in trials if trial.user_attrs[KEY] == "0"]
    assert [(trial.state, trial.user_attrs.get(END)) for trial in attempts] == [
        (TrialState.FAIL, "lost"),
        (TrialState.COMPLETE, None),
    ]
    assert [trial.user_attrs[WORKER]["pid"] for trial in attempts] == [late.pid, os.getpid()]
