"""Run by test_layering.py: a search on a feature cache, on JAX, where TensorFlow cannot be imported."""

import os
import pathlib
import sys

os.environ["KERAS_BACKEND"] = "jax"
for name in ("tensorflow", "tensorflow_datasets"):
    sys.modules[name] = None  # type: ignore[assignment]  # importing it raises ImportError
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import numpy as np

from deeplab_dpc.cli.main import execute
from deeplab_dpc.search.feature_cache import MANIFEST, VERSION

ROOT = pathlib.Path(sys.argv[1])


def write_cache(path: pathlib.Path) -> None:
    """Random features of 4 train and 2 val images: 3 x 4 x 6 at stride 16, two classes."""
    from deeplab_dpc.files import write_json

    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        (path / split).mkdir(parents=True)
        np.save(path / split / "features.npy", rng.normal(size=(count, 3, 4, 6)).astype("float16"))
        np.save(path / split / "labels.npy", rng.integers(0, 2, size=(count, 33, 49)).astype("uint8"))
    manifest = {
        "version": VERSION,
        "fingerprint": {"backbone": {"output_stride": 16}},
        "class_names": ["a", "b"],
        "ignore_label": 255,
        "splits": {"train": 4, "val": 2},
    }
    write_json(path / MANIFEST, manifest)


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
