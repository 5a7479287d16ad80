"""The samplers of the search at equal time: the best score so far, over several seeds.

    python benchmarks/samplers.py --feature_cache=S/features/FINGERPRINT --workdir=B
    python benchmarks/samplers.py --feature_cache=S/features/FINGERPRINT --workdir=B --seeds=5 -- --proxy_steps=50

Each sampler and seed is one search in a directory of its own, and the searches run one after the other. Arguments after
`--` are flags of all of them. The same command continues an interrupted benchmark. The time of a search is the sum of
the seconds of its cells; the warm starts, which are the same for all, are not counted.
"""

import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
from absl import app, flags

from deeplab_dpc.console import print_table
from deeplab_dpc.files import read_json

_FEATURE_CACHE = flags.DEFINE_string("feature_cache", None, "The feature cache of a search.", required=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the searches.", required=True)
_SAMPLERS = flags.DEFINE_list("samplers", ["paper", "uniform", "evolution", "tpe"], "Samplers to compare.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "Number of searches of each sampler.", lower_bound=1)
_CANDIDATES = flags.DEFINE_integer("num_candidates", 24, "Number of cells of each search.", lower_bound=1)
SHARES = (0.25, 0.5, 1.0)  # of the time of the shortest search


def search(sampler: str, seed: int, more: list[str]) -> np.ndarray:
    """Runs or continues a search.

    Returns:
      Seconds and score of each cell in the order in which they were scored, float64 [cells, 2].
    """
    workdir = pathlib.Path(_WORKDIR.value) / f"{sampler}_{seed}"
    command = [sys.executable, "-m", "deeplab_dpc.cli.main", "search", f"--feature_cache={_FEATURE_CACHE.value}"]
    command += [f"--workdir={workdir}", f"--sampler={sampler}", f"--seed={seed}", "--lookahead=1", "--rerank_top_k=0"]
    subprocess.run([*command, f"--num_candidates={_CANDIDATES.value}", *more], check=True, stdout=subprocess.DEVNULL)
    rows: list[dict[str, Any]] = read_json(workdir / "results.json", "search results")
    cells = [row for row in rows if row["draw"] != "given" and not row["given_up"]]
    cells.sort(key=lambda row: row["finished"])
    return np.array([(row["seconds"], row["proxy_miou"]) for row in cells])


def best_until(cells: np.ndarray, seconds: float) -> float:
    """Returns the best score of the cells that were scored until that time; NaN if there is none."""
    is_done = np.cumsum(cells[:, 0]) <= seconds * (1 + 1e-9)
    return float(cells[is_done, 1].max()) if is_done.any() else float("nan")


def rows(found: dict[str, list[np.ndarray]]) -> list[list[str]]:
    """Returns the row of each sampler: means over the seeds, and the differences from the first sampler."""
    shortest = min(cells[:, 0].sum() for searches in found.values() for cells in searches)
    first = next(iter(found.values()))
    table = []
    for sampler, searches in found.items():
        best = [[best_until(cells, share * shortest) for cells in searches] for share in SHARES]
        differences = [
            best_until(one, shortest) - best_until(other, shortest) for one, other in zip(searches, first, strict=True)
        ]
        table.append(
            [
                sampler,
                *(f"{np.mean(values):.4f}" for values in best),
                " ".join(f"{value:.4f}" for value in best[-1]),
                " ".join(f"{100 * value:+.2f}" for value in differences),
                f"{np.mean([cells[:, 1].mean() for cells in searches]):.4f}",
                f"{np.median([seconds for cells in searches for seconds in cells[:, 0]]):.1f}",
            ]
        )
    return table


def main(argv: list[str]) -> None:
    """Runs the searches, seed by seed, and prints the table."""
    found: dict[str, list[np.ndarray]] = {sampler: [] for sampler in _SAMPLERS.value}
    for seed in range(_SEEDS.value):
        for sampler, searches in found.items():
            searches.append(search(sampler, seed, argv[1:]))
    first, *_ = found
    columns = ("sampler", *(f"at {share:.0%}" for share in SHARES), "each seed", f"over {first}", "mean", "s a cell")
    title = f"Best mIOU by proxy at shares of the time of the shortest search; {_CANDIDATES.value} cells"
    print_table(title, columns, rows(found))


if __name__ == "__main__":
    app.run(main)
