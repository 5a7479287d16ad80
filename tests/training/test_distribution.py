"""Several devices and processes train as one does; and the two backends train alike."""

import csv
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest
from small_network import XLA_FLAGS

from deeplab_dpc.checkpoint.run import list_checkpoints, read_weights
from deeplab_dpc.config import TrainConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.training.distribution import Devices, open_devices

FOLDER = pathlib.Path(__file__).parent
BACKENDS = ("tensorflow", "jax")


def _start(script: str, *arguments: object, backend: str, xla_flags: str = "") -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(FOLDER / script), *map(str, arguments)],
        env={**os.environ, "KERAS_BACKEND": backend, "XLA_FLAGS": f"{XLA_FLAGS} {xla_flags}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _output(process: subprocess.Popen) -> str:
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-3000:]
    return output


@pytest.fixture(scope="module")
def started(shapes, tmp_path_factory):
    """All processes but the last, which work side by side."""
    folder = tmp_path_factory.mktemp("devices")
    two_devices = "--xla_force_host_platform_device_count=2"
    steps = {
        backend: _start("device_steps.py", folder / f"{backend}.npz", backend=backend, xla_flags=two_devices)
        for backend in BACKENDS
    }
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    flags = [f"--master=localhost:{port}", "--num_replicas=2"]
    arguments = (shapes.path, 2, folder / "pair", *flags)
    pair = [_start("two_processes.py", *arguments, f"--task={task}", backend="jax") for task in range(2)]
    yield folder, steps, pair
    for process in [*steps.values(), *pair]:
        process.kill()


@pytest.fixture(scope="module")
def results(started):
    """By backend and run: values [step, (loss, gradient norm)], and the arrays after the first steps."""
    folder, steps, _ = started
    found = {}
    for backend, process in steps.items():
        _output(process)
        for key, array in np.load(folder / f"{backend}.npz").items():
            run, _, name = key.rpartition(" ")
            found.setdefault((backend, run), {})[name] = array
    return found


def _assert_equal(ours, theirs, tolerance):
    steps = min(len(ours["values"]), len(theirs["values"]))
    np.testing.assert_allclose(ours["values"][:steps, 0], theirs["values"][:steps, 0], rtol=tolerance)
    for name in theirs.keys() - {"values"}:
        # What is 0 but for rounding (biases before a batch norm, and its means after one) has no relative error.
        scale = max(np.abs(theirs[name]).max(), 0.1)
        np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=tolerance * scale, err_msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pieces", ["", ", pieces"], ids=["at once", "in pieces"])
def test_two_devices_train_as_one(results, backend, pieces):
    two, one = results[backend, f"two{pieces}"], results[backend, f"one{pieces}"]
    _assert_equal(two, one, tolerance=1e-5)
    np.testing.assert_allclose(two["values"][0], one["values"][0], rtol=1e-4)  # with the norm of the first gradient
    assert one["values"][0, 1] > 0.1


@pytest.mark.parametrize("backend", BACKENDS)
def test_batch_in_pieces_makes_the_update_of_the_whole(results, backend):
    _assert_equal(results[backend, "one, frozen, pieces"], results[backend, "one, frozen"], tolerance=1e-6)


def test_backends_give_the_same_losses_over_20_steps(results):
    ours, theirs = (results[backend, "one"]["values"][:, 0] for backend in BACKENDS)
    assert len(ours) == 20
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)
    assert ours[-1] < ours[0]


@pytest.fixture(scope="module")
def stopped_pair(started):
    """The directory of two processes that SIGTERM stopped, what each printed, and where they stopped."""
    folder, _, pair = started
    printed = [_output(process) for process in pair]
    steps = [int(re.search(r"stopped at (\d+)", output).group(1)) for output in printed]
    return folder / "pair", printed, steps


def test_all_processes_stop_at_the_same_step_and_the_first_saves_it(stopped_pair):
    workdir, printed, steps = stopped_pair
    assert steps[0] == steps[1] > 2
    assert [checkpoint.step for checkpoint in list_checkpoints(workdir)] == [steps[0]]
    assert "step 1/1000" in printed[0]
    assert "step" not in printed[1].replace("stopped", "")


def _losses(workdir):
    with (workdir / "metrics.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_two_processes_train_as_one_and_one_continues_them(stopped_pair, shapes, tmp_path):
    pair, _, (step, _) = stopped_pair
    continued, alone = tmp_path / "continued", tmp_path / "alone"
    shutil.copytree(pair, continued)
    process = _start("two_processes.py", shapes.path, step + 2, f"{continued},{alone}", backend="jax")
    assert _output(process).count(f"stopped at {step + 2}") == 2
    assert len(_losses(pair)) == step
    np.testing.assert_allclose(_losses(pair), _losses(alone)[:step], rtol=1e-5)
    np.testing.assert_allclose(_losses(continued), _losses(alone), rtol=1e-5)
    ours, theirs = (read_weights(list_checkpoints(workdir)[-1]) for workdir in (continued, alone))
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-5 * max(np.abs(theirs[name]).max(), 0.1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_clones": 0}, "--num_clones must be greater than 0, got 0"),
        ({"num_replicas": 0}, "--num_replicas must be greater than 0, got 0"),
        ({"num_replicas": 2}, "--num_replicas=2 needs --master: HOST:PORT of process 0, or auto"),
        ({"task": 1}, "--task must be in 0..0"),
        ({"num_replicas": 2, "task": 2, "master": "host:1"}, "--task must be in 0..1"),
        ({"num_replicas": 2, "task": 0, "master": "host"}, "--master must be HOST:PORT or auto, got host"),
        ({"num_replicas": 2, "master": "host:1"}, "--master=host:1 needs --num_replicas and --task"),
        ({"num_replicas": 2, "master": "auto"}, "--master=auto finds the number of processes"),
        ({"num_replicas": 2, "task": 0, "master": "host:1"}, "several processes or hosts .* need --backend=jax"),
        ({"num_clones": 999}, "--num_clones=999 is more than the 1 CPU device"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        open_devices(**arguments)


def test_one_device_needs_no_strategy():
    assert open_devices() == open_devices(num_clones=1, num_replicas=1, task=0) == Devices()


def test_other_backends_are_refused(monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "torch")
    with pytest.raises(UserError, match="not on torch"):
        open_devices()


def test_batch_must_be_shared_evenly():
    Devices(count=2).check_batch(TrainConfig(train_batch_size=8, gradient_accumulation_steps=2))
    with pytest.raises(UserError, match="--train_batch_size=6 cannot be shared evenly by 2 devices in 2 parts each"):
        Devices(count=2).check_batch(TrainConfig(train_batch_size=6, gradient_accumulation_steps=2))
