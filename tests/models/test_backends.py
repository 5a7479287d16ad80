"""The same network gives the same logits on TensorFlow and on JAX, in half precision up to its rounding."""

import os
import pathlib
import subprocess
import sys

import backend_logits
import numpy as np
import pytest


@pytest.fixture(scope="module")
def logits_on_jax(tmp_path_factory):
    path = tmp_path_factory.mktemp("jax") / "logits.npz"
    result = subprocess.run(
        [sys.executable, str(pathlib.Path(backend_logits.__file__)), str(path)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return np.load(path)


@pytest.mark.parametrize("name", backend_logits.NETWORKS)
def test_logits_are_equal_on_both_backends(logits_on_jax, name):
    ours = backend_logits.logits(backend_logits.NETWORKS[name])
    scale = np.abs(ours).max()
    assert np.std(ours) > 0.01 * scale
    np.testing.assert_allclose(ours, logits_on_jax[name], atol=1e-4 * scale)


def test_bfloat16_logits_on_jax_are_near_float32(logits_on_jax):
    exact = logits_on_jax[backend_logits.HALF_PRECISION]
    half = logits_on_jax["half precision"]
    assert half.dtype == "float32"
    error = np.abs(half - exact) / exact.std()
    assert 0.0 < np.sqrt((error**2).mean()) < 0.02
    assert error.max() < 0.08


def test_bfloat16_gradients_on_jax_are_near_float32(logits_on_jax):
    exact = backend_logits.gradients("float32")
    half = {name: logits_on_jax[f"gradient {name}"] for name in exact}
    assert {gradient.dtype.name for gradient in half.values()} == {"float32"}
    # As one vector: a value at the edge of a ReLU may fall to its other side.
    differences, values = (
        np.concatenate([part.ravel() for part in parts])
        for parts in ([half[name] - exact[name] for name in exact], exact.values())
    )
    assert 0.0 < np.linalg.norm(differences) < 0.05 * np.linalg.norm(values)
