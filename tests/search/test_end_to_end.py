"""Cells trained end to end: the proxy without a cache, and re-ranking."""

import dataclasses
import json
import math

import numpy as np
import pytest
from tiny_network import tiny_network

from deeplab_dpc.arch.library import load_cell, published_genotype
from deeplab_dpc.config import DataConfig, ModelConfig, SearchConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.confusion import ConfusionMatrix
from deeplab_dpc.models.backbones.backbone import BACKBONE_OPTIONS
from deeplab_dpc.search import cell_run
from deeplab_dpc.search import rerank as rerank_module
from deeplab_dpc.search.end_to_end import EndToEndEvaluator
from deeplab_dpc.search.evaluator import Candidate
from deeplab_dpc.search.rerank import rerank
from deeplab_dpc.search.rerank_network import rerank_network
from deeplab_dpc.training.divergence import DivergedError

CELL = load_cell("conv1x1")
CONFIG = SearchConfig(proxy_steps=4, proxy_batch_size=2, rerank_steps=4, rerank_batch_size=2)
DATA = DataConfig(data_dir="", train_crop_size=(33, 33))
MODEL = tiny_network(num_classes=7)
MOBILENET = ModelConfig(num_classes=7, depth_multiplier=0.1)


class AbortError(Exception):
    """What a caller raises to give a training up."""


def test_training_that_was_given_up_continues_from_its_checkpoint_and_leaves_nothing(shapes, tmp_path):
    evaluator = EndToEndEvaluator(tmp_path, MODEL, DATA, CONFIG, shapes)
    seen = []

    def on_step(step, loss):
        seen.append((step, loss))
        if len(seen) == 3:
            raise AbortError

    with pytest.raises(AbortError):
        next(evaluator.evaluate([Candidate(CELL, on_step)], [4]))
    checkpoints = tmp_path / f"{CELL.digest()}_4" / "checkpoints"
    # The step that was given up is not saved: by then the run may be another worker's.
    assert sorted(path.name for path in checkpoints.iterdir()) == ["step_00000001", "step_00000002"]
    [score] = evaluator.evaluate([Candidate(CELL, on_step)], [4])
    assert [step for step, _ in seen] == [1, 2, 3, 3, 4]
    assert (score.steps, score.rungs) == (4, ((4, score.miou),))
    assert 0.0 < score.miou <= 1.0
    losses = [loss for _, loss in seen]
    assert score.loss_sum == pytest.approx(sum(losses) - losses[2], rel=1e-5)  # of both starts, each step once
    assert score.loss == pytest.approx(losses[-1], rel=1e-5)
    assert list(tmp_path.iterdir()) == []


def test_losses_of_a_run_are_weighted_by_the_steps_of_their_rows():
    run = cell_run.CellRun(25, ConfusionMatrix(7), ((10, 3.0), (10, 2.0), (5, 1.0)), 1.0)
    assert run.loss_sum == 55.0
    assert run.last_loss(2) == run.last_loss(5) == 1.0
    assert run.last_loss(6) == pytest.approx(25 / 15)
    assert run.last_loss(25) == 2.2


def test_reranking_is_a_run_of_its_own_for_each_cell_and_leaves_its_evaluation(shapes, tmp_path, monkeypatch):
    confusion = ConfusionMatrix(7)
    confusion.update(np.array([0, 0, 1]), np.array([0, 1, 1]))  # IoU 1/2 and 1/2
    calls = []

    def train_cell(workdir, network, data, config, dataset, eval_split, on_step):
        calls.append((workdir, config.training_number_of_steps, config.base_learning_rate, eval_split))
        on_step(1, 2.0)
        return cell_run.CellRun(8, confusion, ((8, 2.0),), 12.5)

    monkeypatch.setattr(rerank_module, "train_cell", train_cell)
    config = dataclasses.replace(CONFIG, rerank_steps=8, rerank_learning_rate=0.02)
    arguments = (tmp_path, CELL, MODEL, DATA, config, None, False, shapes)

    def abort(step, loss):
        raise AbortError

    with pytest.raises(AbortError):
        rerank(*arguments, abort)
    steps = []
    assert rerank(*arguments, lambda step, loss: steps.append(step)) == (0.5, 12.5)
    assert steps == [1]
    assert calls == [(tmp_path / CELL.digest(), 8, 0.02, "val")] * 2
    metrics = json.loads((tmp_path / CELL.digest() / "eval_val.json").read_text())
    assert (metrics["miou"], metrics["seconds"]) == (0.5, 12.5)


@pytest.fixture
def train_calls(monkeypatch):
    """Stands in for the training: notes its arguments, and diverges at step 3."""
    calls = []

    def train(workdir, network, data, config, dataset, on_step):
        calls.append((workdir, network, config))
        raise DivergedError("Training stopped at step 3: the loss is nan.", 3)

    monkeypatch.setattr(cell_run, "train", train)
    return calls


def test_training_that_diverges_is_a_score_and_ends_no_search(train_calls, shapes, tmp_path, capsys):
    config = dataclasses.replace(CONFIG, proxy_steps=16, halving_rungs=2, proxy_precision="bfloat16")
    evaluator = EndToEndEvaluator(tmp_path, MODEL, DATA, config, shapes, "model.ckpt", True)
    [score] = evaluator.evaluate([Candidate(CELL)], config.rung_steps)
    assert (score.miou, score.loss, score.loss_sum, score.steps) == (0.0, math.inf, math.inf, 3)
    assert "the loss is nan" in capsys.readouterr().out
    [(workdir, network, train_config)] = train_calls
    assert workdir == tmp_path / f"{CELL.digest()}_4"
    assert network == dataclasses.replace(MODEL, dense_prediction_cell=CELL)
    assert (train_config.training_number_of_steps, train_config.precision) == (4, "bfloat16")
    assert (train_config.tf_initial_checkpoint, train_config.restore_moving_averages) == ("model.ckpt", True)
    assert rerank(tmp_path, CELL, MODEL, DATA, CONFIG, None, False, shapes)[0] == 0.0


def test_reranking_trains_the_backbone_that_it_is_given(train_calls, shapes, tmp_path):
    config = dataclasses.replace(CONFIG, rerank_model_variant="xception_65", rerank_initial_checkpoint="xception.ckpt")
    rerank(tmp_path, CELL, MODEL, DATA, config, "mobilenet.ckpt", True, shapes)
    [(workdir, network, train_config)] = train_calls
    assert workdir == tmp_path / CELL.digest()
    assert network == ModelConfig(num_classes=7, model_variant="xception_65", dense_prediction_cell=CELL)
    assert (train_config.tf_initial_checkpoint, train_config.restore_moving_averages) == ("xception.ckpt", False)


def test_another_backbone_has_its_published_form_and_all_else_stays():
    proxy = ModelConfig(
        num_classes=7, model_variant="resnet_v1_50_beta", output_stride=8, multi_grid=(1, 2, 4), atrous_rates=(6, 12)
    )
    other = rerank_network(SearchConfig(rerank_model_variant="mobilenet_v3_large_seg"), proxy, None, False)
    assert other.config == ModelConfig(
        num_classes=7, model_variant="mobilenet_v3_large_seg", output_stride=8, atrous_rates=(6, 12)
    )
    assert other.initial_checkpoint is None
    odd = ModelConfig(
        num_classes=7,
        depth_multiplier=0.5,
        divisible_by=4,
        multi_grid=(1, 2, 4),
        genotype=published_genotype(),
        nas_stem_output_num_conv_filters=8,
    )
    default = ModelConfig(num_classes=7)
    reset = rerank_network(SearchConfig(rerank_model_variant="xception_41"), odd, None, False).config
    assert all(getattr(reset, name) == getattr(default, name) != getattr(odd, name) for name in BACKBONE_OPTIONS)


def test_same_backbone_keeps_its_options_and_its_checkpoint():
    for config in (SearchConfig(), SearchConfig(rerank_model_variant="mobilenet_v2")):
        same = rerank_network(config, MOBILENET, "model.ckpt", True)
        assert (same.config, same.initial_checkpoint, same.moving_averages) == (MOBILENET, "model.ckpt", True)


def test_wrong_backbones_are_refused():
    with pytest.raises(UserError, match="--rerank_model_variant=resnet is not known; choose one of auto_deeplab, "):
        rerank_network(SearchConfig(rerank_model_variant="resnet"), MOBILENET, None, False)
    expected = (
        "--rerank_model_variant=xception_65 cannot start from --tf_initial_checkpoint=model.ckpt, which is of "
        "mobilenet_v2; give a checkpoint of xception_65 as --rerank_initial_checkpoint."
    )
    with pytest.raises(UserError, match=expected):
        rerank_network(SearchConfig(rerank_model_variant="xception_65"), MOBILENET, "model.ckpt", False)
    with pytest.raises(UserError, match="auto_deeplab_s has features at stride 8, the search at --output_stride=16"):
        rerank_network(SearchConfig(rerank_model_variant="auto_deeplab_s"), ModelConfig(7), None, False)
