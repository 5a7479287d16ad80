import os
import resource

import pytest

from deeplab_dpc.cli import cpu_memory
from deeplab_dpc.cli.cpu_memory import ALLOCATOR_VARIABLE, LIMIT_VARIABLE, keep_tensor_memory


@pytest.fixture(autouse=True)
def _machine(monkeypatch):
    """A machine without GPUs and limits, whose environment says nothing."""
    for variable in (ALLOCATOR_VARIABLE, LIMIT_VARIABLE):
        monkeypatch.setenv(variable, "")  # so that it is restored
        monkeypatch.delenv(variable)
    monkeypatch.setattr(cpu_memory, "visible_gpus", lambda given: [])
    monkeypatch.setattr(resource, "getrlimit", lambda limit: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_memory_is_kept_up_to_that_of_the_machine():
    keep_tensor_memory()
    assert os.environ[ALLOCATOR_VARIABLE] == "true"
    megabytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    assert os.environ[LIMIT_VARIABLE] == str(megabytes)


def test_the_users_choice_is_kept(monkeypatch):
    monkeypatch.setenv(ALLOCATOR_VARIABLE, "false")
    keep_tensor_memory()
    assert os.environ[ALLOCATOR_VARIABLE] == "false"
    assert LIMIT_VARIABLE not in os.environ


def test_the_users_limit_is_kept(monkeypatch):
    monkeypatch.setenv(LIMIT_VARIABLE, "100")
    keep_tensor_memory()
    assert (os.environ[ALLOCATOR_VARIABLE], os.environ[LIMIT_VARIABLE]) == ("true", "100")


def test_it_is_left_to_tensorflow_with_a_gpu(monkeypatch):
    monkeypatch.setattr(cpu_memory, "visible_gpus", lambda given: ["0"])
    keep_tensor_memory()
    assert ALLOCATOR_VARIABLE not in os.environ


def test_it_is_left_to_tensorflow_under_a_limit_of_addresses(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda limit: (8 * 2**30, 8 * 2**30))
    keep_tensor_memory()
    assert ALLOCATOR_VARIABLE not in os.environ
