"""Whether another worker is known to have ended: only where its pid means something here."""

import dataclasses
import os
import subprocess
import sys

import pytest

from deeplab_dpc.search.service import identity
from deeplab_dpc.search.service.identity import Worker


@pytest.fixture
def child():
    """A process of this machine that waits, with what it is as a worker."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    here = Worker.current()
    yield process, dataclasses.replace(here, pid=process.pid, started=identity._started(process.pid))
    process.kill()
    process.communicate()


def test_two_workers_of_one_process_differ():
    first, second = Worker.current(), Worker.current()
    assert first != second
    assert (first.pid, first.started, first.place) == (second.pid, second.started, second.place)
    assert str(first) == f"{first.host}:{os.getpid()}"


def test_worker_comes_back_from_json():
    worker = Worker.current()
    assert Worker.from_json(worker.to_json()) == worker


def test_running_process_is_not_gone(child):
    _, worker = child
    assert worker.started is not None
    assert not worker.is_gone()


def test_killed_process_is_gone_before_its_parent_asked_and_after(child):
    process, worker = child
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and still listed
    assert worker.is_gone()
    process.wait()
    assert worker.is_gone()


def test_pid_that_another_process_has_now_is_gone():
    here = Worker.current()
    assert dataclasses.replace(here, started=here.started - 1).is_gone()


@pytest.mark.parametrize("change", [{"place": None}, {"place": "another boot"}, {"started": None}])
def test_nothing_is_known_of_a_pid_elsewhere(child, change):
    process, worker = child
    process.kill()
    process.wait()
    assert not dataclasses.replace(worker, **change).is_gone()


def test_process_of_another_user_is_not_gone_though_it_is_hidden(child, monkeypatch):
    _, worker = child

    def refuse(pid, number):
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    monkeypatch.setattr(identity, "_started", lambda pid: None)
    assert not worker.is_gone()
