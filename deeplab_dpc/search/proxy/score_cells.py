"""Scoring of given cells by proxy, outside of any study, optionally with several seeds."""

import dataclasses
from collections.abc import Sequence

from deeplab_dpc.arch.library import load_cells
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.console import console, progress_bar
from deeplab_dpc.search.proxy.evaluator import Candidate
from deeplab_dpc.search.proxy.feature_cache import FeatureCache
from deeplab_dpc.search.proxy.proxy_evaluator import ProxyEvaluator
from deeplab_dpc.search.scored import ProxyScore


def score_cells(
    cache: FeatureCache, config: SearchConfig, names: Sequence[str], num_seeds: int = 1, train_split: str = "train"
) -> dict[str, list[ProxyScore]]:
    """Returns the scores of each cell, by its name or file, one for each of the seeds config.seed, config.seed + 1, ...

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
                [score] = evaluator.evaluate([Candidate(cell)], config.rung_steps)
                scores[name].append(score)
                progress.advance(overall)
                console.print(
                    f"seed {seed}  mIOU {score.miou:.4f}  loss {score.loss:.4f}  {score.seconds:6.1f} s  {name}"
                )
    return scores
