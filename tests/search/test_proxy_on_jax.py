"""The proxy on JAX, where TensorFlow is not installed, gives the scores that it gives on TensorFlow."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.proxy.cell_evaluator import Candidate
from deeplab_dpc.search.proxy.feature_cache import open_cache
from deeplab_dpc.search.proxy.proxy_evaluator import ProxyEvaluator

CELL = [
    {"op": "conv", "kernel": 3, "rate": [1, 2], "input": -1},
    {"op": "pyramid_pooling", "grid_size": [2, 1], "input": 0},
]
CONFIG = SearchConfig(num_branches=2, cell_grids=(1, 2), proxy_steps=8, proxy_batch_size=3, proxy_learning_rate=0.05)
FLAGS = [
    "--num_branches=2",
    "--cell_grids=1,2",
    "--proxy_steps=8",
    "--proxy_batch_size=3",
    "--proxy_learning_rate=0.05",
    "--num_candidates=1",
    "--rerank_top_k=0",
]


@pytest.fixture(scope="module")
def jax_scores(tmp_path_factory):
    """The folder of a search that ran on JAX without TensorFlow."""
    root = tmp_path_factory.mktemp("jax")
    (root / "cell.json").write_text(json.dumps(CELL))
    script = pathlib.Path(__file__).parent / "search_without_tensorflow.py"
    command = [sys.executable, str(script), str(root), f"--warm_starts={root / 'cell.json'}", *FLAGS]
    # Most of the time goes into compiling.
    environment = {**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "Written:" in result.stdout
    return root


def test_both_backends_give_the_same_scores_with_dropout(jax_scores):
    rows = json.loads((jax_scores / "search" / "results.json").read_text())
    evaluator = ProxyEvaluator(open_cache(jax_scores / "cache"), CONFIG)
    candidates = [Candidate(Cell.from_json(row["cell"])) for row in rows]
    assert candidates[0].cell == Cell.from_json(CELL)
    assert len(candidates) == 2
    for row, score in zip(rows, evaluator.evaluate(candidates, CONFIG.rung_steps), strict=True):
        assert row["loss"] == pytest.approx(score.loss, rel=1e-5)
        # A pixel between two classes may fall to either side.
        assert row["proxy_miou"] == pytest.approx(score.miou, abs=2e-3)
