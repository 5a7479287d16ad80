"""Run by test_proxy_on_jax.py: a search on a feature cache, on JAX, where TensorFlow cannot be imported.

python search_without_tensorflow.py FOLDER FLAG...
"""

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
flags = [f"--feature_cache={ROOT / 'cache'}", f"--workdir={ROOT / 'search'}", *sys.argv[2:]]
sys.exit(execute("search", flags))
