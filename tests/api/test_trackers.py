"""Weights & Biases and MLflow by their own Keras callbacks: the code of docs/python.md, where they are installed."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MARK = "<!-- run by tests/api/test_trackers.py -->"
BLOCKS = re.findall(
    rf"^{MARK}\n\n```python\n(.*?)^```$",
    (ROOT / "docs" / "python.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)
METRICS = """
print("metrics", sorted(mlflow.last_active_run().data.metrics))
"""


@pytest.fixture
def run(examples_folder, tmp_path):
    """Runs the block that imports a module in a process of its own, in a folder with DATA; returns what it printed."""

    def run_block(module, after=""):
        [block] = [block for block in BLOCKS if f"import {module}\n" in block]
        (tmp_path / "DATA").symlink_to(examples_folder / "DATA")
        (tmp_path / "block.py").write_text(block + after)
        own = {name: str(tmp_path / name.lower()) for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR")}
        environment = {**os.environ, **own, "WANDB_MODE": "offline", "PYTHONPATH": os.pathsep.join(sys.path)}
        ended = subprocess.run(
            [sys.executable, "block.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return run_block


def test_every_block_is_run_here():
    assert len(BLOCKS) == 2


def test_weights_and_biases_has_the_losses_and_the_evaluations(run, tmp_path):
    pytest.importorskip("wandb", reason="Weights & Biases is not installed")
    run("wandb")
    [kept] = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    assert {b"batch/loss", b"epoch/val_miou"} <= set(re.findall(rb"\w+/\w+", kept.read_bytes()))


def test_mlflow_has_the_losses_and_the_evaluations(run, tmp_path):
    pytest.importorskip("mlflow", reason="MLflow is not installed")
    printed = run("mlflow", METRICS)
    [names] = re.findall(r"^metrics (.*)$", printed, re.MULTILINE)
    assert "'loss'" in names
    assert "'val_miou'" in names
    assert (tmp_path / "mlflow.db").is_file()
