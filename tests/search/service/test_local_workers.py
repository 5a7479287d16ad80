"""Processes that are looked after; they are shells here."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from deeplab_dpc.errors import Stopped, UserError
from deeplab_dpc.search.service import local_workers
from deeplab_dpc.search.service.device_share import share, visible_gpus
from deeplab_dpc.search.service.local_workers import LocalWorkers, describe_status, last_line, run_child

PATIENCE = 60.0  # seconds, for machines under load


def _until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _shells(script, folder, count=1):
    return LocalWorkers(["sh", "-c", script], [{"NUMBER": str(number)} for number in range(count)], folder)


def _is_running(pid):
    """Zombies are not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_workers_that_have_nothing_left_to_do_are_done(tmp_path):
    with _shells("echo number $NUMBER", tmp_path, count=2) as workers:
        _until(lambda: workers.check() == [] and workers.is_done)
    assert [last_line(tmp_path / name) for name in ("1.log", "2.log")] == ["number 0", "number 1"]


def test_worker_that_dies_is_said_and_started_three_times_again(tmp_path):
    said = []
    last = r"Every worker has died 4 times.*: the last was worker 1 \(exit status 7\), and .* with: it broke; the same"
    with _shells("echo it broke; exit 7", tmp_path) as workers, pytest.raises(UserError, match=last):
        _until(lambda: said.extend(workers.check()))
    assert len(said) == 3  # what the fourth would say is in the error
    assert said[0] == (f"worker 1 died: exit status 7; it is started again. {tmp_path}/1.log ends with: it broke")
    assert (tmp_path / "1.log").read_text().count("worker 1 starts") == 4


def test_others_go_on_while_one_stays_down(tmp_path):
    said = []
    script = f"test $NUMBER = 1 && exit 7; until test -e {tmp_path}/go; do sleep 0.02; done"
    with _shells(script, tmp_path, count=2) as workers:
        _until(lambda: said.extend(workers.check()) or len(said) == 4)
        assert "worker 2 died: exit status 7; it is not started again after 4 starts" in said[3]
        assert list(workers.names.values()) == ["worker 1"]
        (tmp_path / "go").touch()
        _until(lambda: workers.check() == [] and workers.is_done)


def test_mistake_of_the_user_ends_all_with_its_sentence(tmp_path):
    script = 'test $NUMBER = 0 || exec sleep 100; echo "search: --seed is wrong: no." >&2; echo a library ends; exit 2'
    workers = _shells(script, tmp_path, count=2)
    pids = []

    def look_after():
        with workers:
            pids.extend(int(name.rpartition(":")[2]) for name in workers.names)
            _until(workers.check)

    with pytest.raises(UserError, match=r"^--seed is wrong: no\.$"):
        look_after()
    assert not any(map(_is_running, pids))


def test_signal_is_passed_on_once_and_waited_for(tmp_path):
    # Not SIGINT, which a shell cannot trap where it was ignored from the start, as in the background of another.
    script = f"trap 'echo TERM >> {tmp_path}/got; exit 143' TERM; echo up; while true; do sleep 0.02; done"
    with _shells(script, tmp_path) as workers:
        _until(lambda: last_line(tmp_path / "1.log") == "up")
        workers.stop(signal.SIGTERM)
        assert (tmp_path / "got").read_text() == "TERM\n"


def test_worker_that_does_not_end_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(local_workers, "GRACE_SECONDS", 0.1)
    with _shells("trap '' TERM; echo up; while true; do sleep 0.02; done", tmp_path) as workers:
        _until(lambda: last_line(tmp_path / "1.log") == "up")
        (name,) = workers.names
    assert not _is_running(int(name.rpartition(":")[2]))


PARENT = """
import pathlib, sys, time
from deeplab_dpc.search.service.local_workers import LocalWorkers
child = (
    "import signal, sys, time; from deeplab_dpc.search.service.local_workers import end_with_parent;"
    "signal.signal(signal.SIGTERM, lambda *_: (print('gives back', flush=True), sys.exit(1)));"
    "end_with_parent(); print('up', flush=True); time.sleep(100)"
)
with LocalWorkers([sys.executable, "-c", child], [{}], pathlib.Path(sys.argv[1])) as workers:
    time.sleep(100)
"""


def test_worker_ends_in_order_when_its_parent_is_killed(tmp_path):
    log = tmp_path / "1.log"
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[3])}
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], env=environment)
    _until(lambda: log.exists() and last_line(log) == "up")
    parent.kill()
    parent.wait()
    _until(lambda: last_line(log) == "gives back")


def test_child_that_fails_is_said(tmp_path):
    run_child(["true"], tmp_path / "log")
    with pytest.raises(UserError, match=r"^--data_dir is wrong\.$"):
        run_child(["sh", "-c", "echo 'search: --data_dir is wrong.' >&2; exit 2"], tmp_path / "log")
    with pytest.raises(UserError, match=r"failed \(killed by SIGKILL\); .*log says why"):
        run_child(["sh", "-c", "kill -9 $$"], tmp_path / "log")


def test_signal_ends_a_child(tmp_path):
    # The signal comes to this process, from the child.
    script = f"kill -TERM {os.getpid()}; exec sleep 100"
    with pytest.raises(Stopped, match="stopped by SIGTERM"):
        run_child(["sh", "-c", script], tmp_path / "log")


def test_status_in_words():
    assert (describe_status(3), describe_status(-9)) == ("exit status 3", "killed by SIGKILL")


def test_cores_are_divided_and_gpus_taken_in_turn():
    threads = {"TF_NUM_INTRAOP_THREADS": "2", "NPROC": "2", "OMP_NUM_THREADS": "2"}
    given = {"TF_NUM_INTEROP_THREADS": "5"}
    assert share(2, 3, cores=8, gpus=["a", "b", "c"], given=given) == {**threads, "CUDA_VISIBLE_DEVICES": "c"}
    crowded = share(2, 3, cores=2, gpus=["a", "b"], given={})
    assert (crowded["CUDA_VISIBLE_DEVICES"], crowded["NPROC"]) == ("a", "1")
    assert (crowded["TF_FORCE_GPU_ALLOW_GROWTH"], crowded["XLA_PYTHON_CLIENT_PREALLOCATE"]) == ("true", "false")
    assert "CUDA_VISIBLE_DEVICES" not in share(0, 2, cores=2, gpus=[], given={})


def test_gpus_are_those_that_the_environment_leaves():
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "3,1"}) == ["3", "1"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}) == visible_gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == []
