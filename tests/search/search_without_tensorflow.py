"""Run by test_layering.py: a search on a feature cache, on JAX, where TensorFlow cannot be imported."""

import os
import pathlib
import sys

os.environ["KERAS_BACKEND"] = "jax"
for name in ("tensorflow", "tensorflow_datasets"):
    sys.modules[name] = None  # type: ignore[assignment]  # importing it raises ImportError
sys.path[:0] = [str(folder) for folder in pathlib.Path(__file__).resolve().parents[1:3]]

from tiny_cache import write_cache

from deeplab_dpc.cli.main import execute

ROOT = pathlib.Path(sys.argv[1])


write_cache(ROOT / "cache")
sys.exit(
    execute(
        "search",
        [
            f"--feature_cache={ROOT / 'cache'}",
            f"--workdir={ROOT / 'search'}",
            "--num_branches=2",
            "--num_candidates=1",
            "--warm_starts=conv1x1",
            "--proxy_steps=2",
            "--proxy_batch_size=2",
            "--rerank_top_k=0",
        ],
    )
)
