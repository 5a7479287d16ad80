"""Seconds of a proxy step with the exact and with the separated loss, alternating, in one run.

    python benchmarks/proxy_loss.py --cells=conv1x1,dpc_top1

The data is random, of the size of CamVid's: features 23 x 31 x 320, labels 361 x 481, 11 classes, batch 8.
"""

import statistics
import time

import numpy as np
from absl import app, flags

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.evaluator import Candidate
from deeplab_dpc.search.feature_cache import CachedSplit, FeatureCache
from deeplab_dpc.search.proxy import ProxyEvaluator

_CELLS = flags.DEFINE_list("cells", ["conv1x1", "dpc_top1"], "Names or files of cells.")
_STEPS = flags.DEFINE_integer("steps", 20, "Steps of each run, of which the median counts.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Alternations.")


def _random_cache(tmp_path) -> FeatureCache:
    rng = np.random.default_rng(0)
    split = CachedSplit(
        rng.normal(size=(16, 23, 31, 320)).astype("float16"), rng.integers(0, 11, (16, 361, 481)).astype("uint8")
    )
    fingerprint = {"backbone": {"output_stride": 16}}
    names = tuple(f"class_{i}" for i in range(11))
    return FeatureCache(tmp_path, fingerprint, names, 255, {"train": split, "val": split})


def _median_step(evaluator: ProxyEvaluator, cell) -> float:
    times = [time.perf_counter()]
    list(evaluator.evaluate([Candidate(cell, lambda step, loss: times.append(time.perf_counter()))], [_STEPS.value]))
    steps = np.diff(times)[2:]  # the first ones trace
    return statistics.median(steps)


def main(argv) -> None:
    """Prints a line a cell."""
    cache = _random_cache(None)
    evaluators = {
        name: ProxyEvaluator(cache, SearchConfig(proxy_steps=_STEPS.value, proxy_loss_nodes=nodes))
        for name, nodes in (("exact", 0), ("separated", 4))
    }
    for cell_name in _CELLS.value:
        cell = load_cell(cell_name)
        seconds: dict[str, list[float]] = {name: [] for name in evaluators}
        for _ in range(_ROUNDS.value):
            for name, evaluator in evaluators.items():
                seconds[name].append(_median_step(evaluator, cell))
        exact, separated = (statistics.median(seconds[name]) for name in ("exact", "separated"))
        print(f"{cell_name}: exact {exact:.3f} s, separated {separated:.3f} s, {exact / separated:.2f} x")


if __name__ == "__main__":
    app.run(main)
