import os
import pathlib
import resource
import subprocess
import sys

import pytest

from deeplab_dpc.cli import backend
from deeplab_dpc.cli.backend import ALLOCATOR_VARIABLE, LIMIT_VARIABLE, keep_tensor_memory

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _machine(monkeypatch):
    """A machine without GPUs and limits, whose environment says nothing."""
    for variable in (ALLOCATOR_VARIABLE, LIMIT_VARIABLE):
        monkeypatch.setenv(variable, "")  # so that it is restored
        monkeypatch.delenv(variable)
    monkeypatch.setattr(backend, "visible_gpus", lambda given: [])
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
    monkeypatch.setattr(backend, "visible_gpus", lambda given: ["0"])
    keep_tensor_memory()
    assert ALLOCATOR_VARIABLE not in os.environ


def test_it_is_left_to_tensorflow_under_a_limit_of_addresses(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda limit: (8 * 2**30, 8 * 2**30))
    keep_tensor_memory()
    assert ALLOCATOR_VARIABLE not in os.environ


USE = """
import os
import pathlib
import tensorflow as tf

from deeplab_dpc.layers import kernels

def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

small = tf.zeros(1000)
before = kernels.kept_memory(), resident()
large = tf.zeros((100, 1000, 1000))
del large
print(kernels.kept_memory() - before[0], resident() - before[1])
"""
LARGE = 4 * 10**8  # bytes


@pytest.mark.parametrize("allocator", ["true", "false"])
def test_memory_that_the_allocator_keeps_counts_as_available(allocator):
    """TensorFlow's default keeps memory on some processors and not on others."""
    environment = {**os.environ, ALLOCATOR_VARIABLE: allocator, "TF_CPP_MIN_LOG_LEVEL": "3"}
    used = subprocess.run(
        [sys.executable, "-c", USE], capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    kept, resident = map(int, used.stdout.split())
    assert kept == pytest.approx(LARGE if allocator == "true" or resident > LARGE / 2 else 0, rel=0.01)
    assert resident == pytest.approx(kept, abs=LARGE / 10)
