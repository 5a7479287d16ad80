"""Cells trained end to end: the proxy without a cache."""

import dataclasses
import math

import pytest
from tiny_network import tiny_network

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.config import DataConfig, SearchConfig
from deeplab_dpc.config.train import InitialWeights
from deeplab_dpc.search.proxy import cell_run
from deeplab_dpc.search.proxy.cell_evaluator import Candidate
from deeplab_dpc.search.proxy.end_to_end import EndToEndEvaluator
from deeplab_dpc.training.divergence import DivergedError

CELL = load_cell("conv1x1")
CONFIG = SearchConfig(proxy_steps=4, proxy_batch_size=2)
DATA = DataConfig(data_dir="", train_crop_size=(33, 33))
MODEL = tiny_network(num_classes=7)


class AbortError(Exception):
    """Is raised by a caller to give a training up."""


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
    run = cell_run.CellRun(25, ((10, 3.0), (10, 2.0), (5, 1.0)), 1.0)
    assert run.loss_sum == 55.0
    assert run.last_loss(2) == run.last_loss(5) == 1.0
    assert run.last_loss(6) == pytest.approx(25 / 15)
    assert run.last_loss(25) == 2.2


@pytest.fixture
def train_calls(monkeypatch):
    """Stands in for the training: notes its arguments, and diverges at step 3."""
    calls = []

    def train(workdir, network, data, config, dataset, hooks=None, is_locked=False):
        calls.append((workdir, network, config))
        raise DivergedError("Training stopped at step 3: the loss is nan.", 3)

    monkeypatch.setattr(cell_run, "train", train)
    return calls


def test_training_that_diverges_is_a_score_and_ends_no_search(train_calls, shapes, tmp_path, capsys):
    config = dataclasses.replace(CONFIG, proxy_steps=16, halving_rungs=2, proxy_precision="bfloat16")
    evaluator = EndToEndEvaluator(tmp_path, MODEL, DATA, config, shapes, InitialWeights("model.ckpt", True))
    [score] = evaluator.evaluate([Candidate(CELL)], config.rung_steps)
    assert (score.miou, score.loss, score.loss_sum, score.steps) == (0.0, math.inf, math.inf, 3)
    assert "the loss is nan" in capsys.readouterr().out
    [(workdir, network, train_config)] = train_calls
    assert workdir == tmp_path / f"{CELL.digest()}_4"
    assert network == dataclasses.replace(MODEL, dense_prediction_cell=CELL)
    assert (train_config.training_number_of_steps, train_config.precision) == (4, "bfloat16")
    assert (train_config.tf_initial_checkpoint, train_config.restore_moving_averages) == ("model.ckpt", True)
    assert not train_config.initialize_last_layer  # of the checkpoint the backbone alone
