"""The layers keep to the same contract and values on JAX."""

import os
import pathlib
import subprocess
import sys

# Made of other layers, and slow to compile; models/test_backends.py compares whole networks with them.
COMPOSITES = ("aspp", "cell", "residual", "xception", "bottleneck", "unit", "network", "low_level")


def test_layers_pass_their_tests_on_jax():
    selection = " and ".join(f"not {name}" for name in COMPOSITES)
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(pathlib.Path(__file__).parent / "layers"), "-k", selection],
        # Most of the time goes into compiling; what is compiled runs once.
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout[-3000:]
    assert " passed" in result.stdout
