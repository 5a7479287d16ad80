"""Layers whose result depends on the whole batch: two replicas compute what one device does."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).with_name("replica_steps.py")

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    path = tmp_path_factory.mktemp("replicas") / "results.npz"
    result = subprocess.run(
        [sys.executable, str(SCRIPT), str(path)],
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return np.load(path)


@pytest.mark.parametrize(
    "name", ["output", "moving mean", "moving variance", "input gradient", "gamma gradient", "beta gradient"]
)
def test_batch_norm_uses_the_statistics_of_the_global_batch(results, name):
    one, two = results[f"one {name}"], results[f"two {name}"]
    assert np.abs(one).max() > 0.1
    np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-5 * np.abs(one).max())


def test_replicas_drop_what_one_device_would_drop(results):
    np.testing.assert_array_equal(results["two dropout"], results["one dropout"])
    assert not np.array_equal(results["two dropout"][:2], results["two dropout"][2:])
    assert set(np.unique(results["two dropout"])) == {np.float32(0.0), np.float32(1.0) / np.float32(0.7)}
