"""A finalist's training: a run for each round, each continued from the one before; what is kept of it."""

import dataclasses
import json

import numpy as np
import pytest
from tiny_network import tiny_network

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.checkpoint.run import read_weights
from deeplab_dpc.checkpoint.run_directory import latest_checkpoint, list_checkpoints
from deeplab_dpc.config import DataConfig, ModelConfig, SearchConfig
from deeplab_dpc.config.train import InitialWeights
from deeplab_dpc.evaluation.stored import read_evaluation
from deeplab_dpc.run_config import read_run
from deeplab_dpc.search.contest import finalist_training
from deeplab_dpc.search.contest.finalist_training import run_directory, train_finalist
from deeplab_dpc.search.contest.network import RerankNetwork
from deeplab_dpc.search.contest.trained import Trained
from deeplab_dpc.search.proxy import cell_run
from deeplab_dpc.training.divergence import DivergedError

CELL = load_cell("conv1x1")
CONFIG = SearchConfig(rerank_steps=4, rerank_batch_size=2, rerank_optimizer="adam", rerank_learning_rate=0.02)
DATA = DataConfig(data_dir="", train_crop_size=(33, 33))
MODEL = tiny_network(num_classes=7)
NETWORK = RerankNetwork(MODEL, InitialWeights())


class AbortError(Exception):
    """Is raised by a caller to give a training up."""


def test_finalist_goes_on_from_its_round_before_and_does_nothing_twice(shapes, tmp_path, no_curves):
    seen = []

    def on_step(step, loss):
        seen.append(step)
        if seen.count(3) == 1 and step == 3:
            raise AbortError

    arguments = (tmp_path, CELL, 5, (2, 4), NETWORK, DATA, CONFIG, shapes, on_step)
    with pytest.raises(AbortError):
        train_finalist(*arguments)
    trained = train_finalist(*arguments)
    assert seen == [1, 2, 2, 3, 3, 4]  # the second round goes on from before the fall of the rate in the first
    assert train_finalist(*arguments).miou == trained.miou
    assert seen == [1, 2, 2, 3, 3, 4]  # the second round goes on from before the fall of the rate in the first

    first, second = (run_directory(tmp_path, CELL, 5, ladder) for ladder in ((2,), (2, 4)))
    assert sorted(path.name for path in tmp_path.glob("*/*")) == [first.name, second.name]
    assert [list_checkpoints(run)[-1].step for run in (first, second)] == [2, 4]
    assert read_run(first)["train"]["early_end_step"] == 2
    protocol = read_run(second)["train"]
    assert protocol["early_end_step"] == 0
    assert (protocol["fork_from"], protocol["seed"]) == (str(first), 5)
    assert (protocol["optimizer"], protocol["base_learning_rate"]) == ("adam", 0.02)

    assert not (first / "eval_val").exists()
    stored = read_evaluation(second / "eval_val")
    assert trained.num_images == len(stored.measured[0].counts.names) == 5
    assert trained.miou == pytest.approx(float(stored.measured[0].counts.sums().mean_iou()))
    assert json.loads((second / "eval_val" / "metrics.json").read_text())["miou"] == trained.miou
    assert trained.samples.shape == (1000,)
    assert abs(np.nanmean(trained.samples) - trained.miou) < 0.1


@pytest.mark.long
def test_rounds_are_one_training_also_of_a_longer_schedule(shapes, tmp_path, no_curves):
    for schedule, ended in ((0, 0), (9, 4)):
        config = dataclasses.replace(CONFIG, rerank_schedule_steps=schedule)
        runs = []
        for ladder in ((2, 4), (4,)):
            root = tmp_path / f"{schedule}_{len(ladder)}"
            train_finalist(root, CELL, 5, ladder, NETWORK, DATA, config, shapes)
            runs.append(run_directory(root, CELL, 5, ladder))
        protocol = read_run(runs[1])["train"]
        assert (protocol["training_number_of_steps"], protocol["early_end_step"]) == (schedule or 4, ended)
        first, second = (read_weights(latest_checkpoint(run)) for run in runs)
        # The averages of batch norm span a tenth of the steps of a run, and do not affect the training.
        assert all((first[name] == second[name]).all() for name in first if "moving" not in name)


def test_what_is_kept_is_small_and_comes_back():
    trained = Trained(0.25, 3.5, "run", np.array([0.1234567, np.nan]), "abc", 5)
    text = json.dumps(trained.to_json())
    again = Trained.from_json(json.loads(text))
    np.testing.assert_array_equal(again.samples, [0.123457, np.nan])
    assert {**vars(again), "samples": None} == {**vars(trained), "samples": None}  # arrays have no one truth
    many = dataclasses.replace(trained, samples=np.full(1000, 0.123456))
    assert len(json.dumps(many.to_json())) < 10_000  # databases keep 64 kB of an attribute


def _steps(config):
    return config.early_end_step or config.training_number_of_steps


@pytest.fixture
def train_calls(monkeypatch):
    """Stands in for the training: notes its arguments, and diverges at step 3."""
    calls = []

    def train(workdir, network, data, config, dataset, hooks=None, is_locked=False):
        calls.append((workdir, network, config))
        if _steps(config) >= 3:
            raise DivergedError("Training stopped at step 3: the loss is nan.", 3)

    monkeypatch.setattr(cell_run, "train", train)
    monkeypatch.setattr(finalist_training, "train", train)
    return calls


@pytest.mark.parametrize("ladder", [(4,), (2, 4), (2, 4, 8)])
def test_training_that_diverges_is_a_result_and_ends_no_contest(ladder, train_calls, shapes, tmp_path, capsys):
    trained = train_finalist(tmp_path, CELL, 0, ladder, NETWORK, DATA, CONFIG, shapes)
    assert (trained.miou, trained.is_diverged, trained.samples.size) == (0.0, True, 0)
    assert Trained.from_json(trained.to_json()).is_diverged
    assert "the loss is nan" in capsys.readouterr().out
    assert [_steps(config) for _, _, config in train_calls] == [n for n in ladder if n <= 4]


def test_finalists_start_from_the_given_backbone_alone(train_calls, shapes, tmp_path):
    xception = ModelConfig(num_classes=7, model_variant="xception_65", decoder_output_stride=(4,))
    train_finalist(
        tmp_path, CELL, 0, (2, 4), RerankNetwork(xception, InitialWeights("model.ckpt", True)), DATA, CONFIG, shapes
    )
    assert [network for _, network, _ in train_calls] == 2 * [dataclasses.replace(xception, dense_prediction_cell=CELL)]
    first, second = (config for _, _, config in train_calls)
    assert (first.tf_initial_checkpoint, first.restore_moving_averages, first.fork_from) == ("model.ckpt", True, None)
    assert not first.initialize_last_layer
    assert (second.tf_initial_checkpoint, second.restore_moving_averages) == (None, False)
    assert second.fork_from == str(train_calls[0][0])
