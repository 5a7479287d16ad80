"""The proxy evaluator and the whole search on a small cache."""

import json

import numpy as np
import pytest

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.cost import cell_cost
from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.cli.main import execute
from deeplab_dpc.config import DataConfig, ModelConfig, SearchConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.search import rerank as rerank_module
from deeplab_dpc.search.proxy import ProxyEvaluator, _batch_order
from deeplab_dpc.search.runner import run_search

CONFIG = SearchConfig(
    num_candidates=2,
    num_branches=2,
    proxy_steps=3,
    proxy_batch_size=4,
    baselines=("conv1x1",),
    rerank_top_k=1,
    rerank_steps=2,
    rerank_batch_size=2,
)
DATA = DataConfig(data_dir="", train_crop_size=(33, 33))
MODEL = ModelConfig(num_classes=7, depth_multiplier=0.1)


def test_every_row_is_used_once_a_pass():
    order = _batch_order(5, 2, seed=0)
    rows = np.concatenate([next(order) for _ in range(5)])
    assert sorted(rows) == sorted([*range(5), *range(5)])
    assert sorted(rows[:4]) != [0, 0, 1, 1]


def test_score_is_repeatable_and_differs_between_cells(cache):
    evaluator = ProxyEvaluator(cache, CONFIG)
    steps = []
    first = evaluator.score(load_cell("conv1x1"), lambda step, loss: steps.append(step))
    again = evaluator.score(load_cell("conv1x1"))
    other = evaluator.score(load_cell("aspp"))
    assert steps == [1, 2, 3]
    assert (first.miou, first.loss) == (again.miou, again.loss)
    assert other.loss != first.loss
    assert 0.0 <= first.miou <= 1.0


def test_exact_and_separated_loss_agree_in_training(cache):
    config = SearchConfig(proxy_steps=5, proxy_batch_size=4, proxy_loss_nodes=0)
    exact = ProxyEvaluator(cache, config).score(load_cell("conv1x1"))
    separated = ProxyEvaluator(cache, SearchConfig(proxy_steps=5, proxy_batch_size=4)).score(load_cell("conv1x1"))
    assert separated.loss == pytest.approx(exact.loss, rel=1e-3)


def test_training_on_features_learns(cache):
    evaluator = ProxyEvaluator(cache, SearchConfig(proxy_steps=40, proxy_batch_size=4, proxy_learning_rate=0.05))
    losses = []
    evaluator.score(load_cell("conv1x1"), lambda step, loss: losses.append(loss))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


@pytest.fixture(scope="module")
def searched(cache, shapes, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("search")
    return workdir, run_search(workdir, cache, CONFIG, MODEL, DATA, shapes)


def test_search_leaves_the_winner_its_drawing_and_all_scores(searched):
    workdir, result = searched
    best = Cell.from_json(json.loads((workdir / "cells" / "best.json").read_text()))
    assert best == result.winner() == result.best(1)[0].cell
    for picture in ("cells/best.png", "cells/rank_01.png", "scores.png"):
        assert (workdir / picture).read_bytes()[1:4] == b"PNG"
    rows = json.loads((workdir / "results.json").read_text())
    assert rows[0]["draw"] == "baseline"
    assert len(rows) == 3
    winner = next(row for row in rows if Cell.from_json(row["cell"]) == best)
    assert winner["reranked_miou"] == result.reranked[0].miou
    assert winner["parameters"] == cell_cost(best, 5, 6, 32).parameters


def test_finished_search_does_nothing_again(searched, cache, shapes, monkeypatch):
    workdir, result = searched

    def forbidden(*args, **kwargs):
        raise AssertionError("trained again")

    monkeypatch.setattr(ProxyEvaluator, "score", forbidden)
    monkeypatch.setattr(ProxyEvaluator, "_build", forbidden)
    monkeypatch.setattr(rerank_module, "evaluate", forbidden)
    again = run_search(workdir, cache, CONFIG, MODEL, DATA, shapes)
    assert (again.candidates, again.reranked) == (result.candidates, result.reranked)


def test_search_without_a_cell_space_or_data_is_refused(capsys, tmp_path, cache):
    assert execute("search", [f"--workdir={tmp_path}"]) == 2
    assert "--data_dir is required (or --feature_cache" in capsys.readouterr().err
    assert execute("search", [f"--workdir={tmp_path}", f"--feature_cache={cache.path}"]) == 2
    assert "pass --rerank_top_k=0 to go without" in capsys.readouterr().err
    assert execute("search", [f"--workdir={tmp_path}", f"--feature_cache={cache.path}", "--mode=score"]) == 2
    assert "--cells is required with --mode=score" in capsys.readouterr().err


def test_config_out_of_range_is_refused():
    with pytest.raises(UserError, match="--uniform_fraction must be in"):
        SearchConfig(uniform_fraction=1.5)
    with pytest.raises(UserError, match="--proxy_steps must be greater than 0, got 0"):
        SearchConfig(proxy_steps=0)
    with pytest.raises(UserError, match="--num_candidates must not be negative, got -1"):
        SearchConfig(num_candidates=-1)
