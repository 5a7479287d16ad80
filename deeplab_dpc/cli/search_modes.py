"""The modes of deeplab-dpc search without a search: --mode=score scores given cells by proxy, outside of any study,
with one or more seeds; --mode=fidelity measures the proxy.
"""

import dataclasses
import statistics
from collections.abc import Sequence

from deeplab_dpc.arch.library import load_cells
from deeplab_dpc.cli.search_job import Request
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.console import console, print_table, progress_bar
from deeplab_dpc.files import write_json
from deeplab_dpc.search.fidelity.fidelity_report import print_fidelity
from deeplab_dpc.search.fidelity.fidelity_runner import measure_fidelity, real_protocol
from deeplab_dpc.search.fidelity.measurement import FOLDER
from deeplab_dpc.search.fidelity.other_proxies import read_others, require_same_protocol
from deeplab_dpc.search.fidelity.trainings import SearchTrainings
from deeplab_dpc.search.proxy.cell_evaluator import Candidate
from deeplab_dpc.search.proxy.feature_cache import FeatureCache
from deeplab_dpc.search.proxy.proxy_evaluator import ProxyEvaluator
from deeplab_dpc.search.scored import ProxyScore
from deeplab_dpc.search.service.display import SearchWatch
from deeplab_dpc.search.service.storage import open_storage


def score(request: Request) -> None:
    """Scores --cells, prints the table, and writes the scores to the workdir."""
    flags, config = request.flags, request.config
    table = _scores(request.cache(), config, flags.cells, flags.num_seeds, flags.data.train_split)
    rows = [
        (
            name,
            f"{statistics.mean(score.miou for score in scores):.4f}",
            f"{statistics.stdev(score.miou for score in scores):.4f}" if len(scores) > 1 else "-",
            f"{statistics.mean(score.loss for score in scores):.4f}",
            f"{statistics.mean(score.seconds for score in scores):.0f}",
        )
        for name, scores in table.items()
    ]
    title = f"{config.proxy_steps} proxy steps, {flags.num_seeds} seed(s)"
    print_table(title, ("name", "mIOU", "spread over seeds", "loss", "seconds"), rows)
    path = request.workdir / f"scores_{config.proxy_steps}_steps.json"
    write_json(path, {name: [score.to_json() for score in scores] for name, scores in table.items()})
    console.print(f"Written: {path}")


def _scores(
    cache: FeatureCache, config: SearchConfig, names: Sequence[str], num_seeds: int = 1, train_split: str = "train"
) -> dict[str, list[ProxyScore]]:
    """Returns the scores of each cell by its name or file, one for each of the seeds config.seed, config.seed + 1, ...

    Raises:
      UserError: if one is neither a cell that ships with the package nor a file of a cell.
    """
    cells = dict(load_cells(names, "cells"))
    scores: dict[str, list[ProxyScore]] = {name: [] for name in cells}
    with progress_bar() as progress:
        overall = progress.add_task("Cells", total=len(cells) * num_seeds, note="")
        for seed in range(config.seed, config.seed + num_seeds):
            evaluator = ProxyEvaluator(cache, dataclasses.replace(config, seed=seed), train_split)
            for name, cell in cells.items():
                [score] = evaluator.evaluate([Candidate(cell)], (config.proxy_steps,))
                scores[name].append(score)
                progress.advance(overall)
                console.print(
                    f"seed {seed}  mIOU {score.miou:.4f}  loss {score.loss:.4f}  {score.seconds:6.1f} s  {name}"
                )
    return scores


def measure(request: Request) -> None:
    """Measures how well the proxy ranks cells, compared with real training (arXiv:1809.04184, Fig. 3 and 4), and prints
    the tables and the names of the written files.
    """
    config, job = request.flags.fidelity.make(), request.claimed_job(request.cache())
    others = read_others(config.fidelity_compare)
    require_same_protocol(others, real_protocol(job))
    storage = open_storage(job.service.storage, job.workdir, shared=False)
    with SearchWatch() as watch:
        result = measure_fidelity(job, config, storage, SearchTrainings(job, watch), watch, others)
    print_fidelity(result, others)
    console.print(f"Written: {job.workdir / FOLDER}/report.html, results.json, fidelity.csv, *.png")
