"""Trainings that end before the end of their schedule, and forks that continue as if they had not."""

import dataclasses

import pytest
from tiny_network import tiny_network

from deeplab_dpc.checkpoint.run import newest_progress, read_weights
from deeplab_dpc.checkpoint.run_directory import latest_checkpoint, list_checkpoints
from deeplab_dpc.config import DataConfig, TrainConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.training import trainer
from deeplab_dpc.training.early_end import TimeLimit
from deeplab_dpc.training.hooks import Hooks

CONFIG = TrainConfig(
    training_number_of_steps=14,
    train_batch_size=2,
    optimizer="adam",
    base_learning_rate=0.01,
    log_steps=1,
    save_interval_steps=1,
    eval_interval_steps=0,
)
ENDED = dataclasses.replace(CONFIG, early_end_step=10)  # the rate falls from step 8


def _train(workdir, dataset, config=CONFIG, on_step=None):
    data = DataConfig(data_dir="", train_crop_size=(33, 33))
    trainer.train(workdir, tiny_network(num_classes=7), data, config, dataset, Hooks(on_step=on_step))
    # The averages of batch norm span a tenth of the steps of the run, and do not affect the training.
    return {name: value for name, value in read_weights(latest_checkpoint(workdir)).items() if "moving" not in name}


def _rates(workdir):
    return [row["learning_rate"] for row in newest_progress(workdir).rows]


def test_fork_continues_as_if_the_training_had_not_ended(shapes, tmp_path, no_curves, capsys):
    whole = _train(tmp_path / "whole", shapes)
    ended = _train(tmp_path / "ended", shapes, ENDED)
    assert "from step 8 the learning rate falls to 0 at step 10, where the training ends" in capsys.readouterr().out
    assert [one.step for one in list_checkpoints(tmp_path / "ended")] == [8, 9, 10]
    rates = _rates(tmp_path / "whole")
    assert _rates(tmp_path / "ended") == pytest.approx([*rates[:8], rates[7] / 2, 0.0])
    fork = _train(tmp_path / "fork", shapes, dataclasses.replace(CONFIG, fork_from=str(tmp_path / "ended")))
    assert newest_progress(tmp_path / "fork").began == 8
    assert newest_progress(tmp_path / "fork").before_fall is None
    assert _rates(tmp_path / "fork") == pytest.approx(rates)
    assert all((whole[name] == fork[name]).all() for name in whole)
    assert any((whole[name] != ended[name]).any() for name in whole)


@pytest.mark.long
def test_fork_may_end_early_too(shapes, tmp_path, no_curves):
    whole = _train(tmp_path / "whole", shapes, ENDED)
    _train(tmp_path / "ended", shapes, dataclasses.replace(CONFIG, early_end_step=5))
    fork = _train(tmp_path / "fork", shapes, dataclasses.replace(ENDED, fork_from=str(tmp_path / "ended")))
    assert newest_progress(tmp_path / "fork").began == 4
    assert all((whole[name] == fork[name]).all() for name in whole)
    late = dataclasses.replace(CONFIG, early_end_step=4, fork_from=str(tmp_path / "ended"))
    with pytest.raises(UserError, match="is at step 4, so that --early_end_step=4 leaves nothing to train"):
        _train(tmp_path / "late", shapes, late)


@pytest.mark.long
@pytest.mark.parametrize("killed_at", [5, 8, 9])
def test_killed_training_ends_at_the_same_step_and_keeps_the_fork(shapes, tmp_path, no_curves, killed_at):
    def kill(step, loss):
        if step == killed_at:
            raise KeyboardInterrupt

    whole = _train(tmp_path / "whole", shapes, ENDED)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "killed", shapes, ENDED, kill)
    killed = _train(tmp_path / "killed", shapes, ENDED)
    assert all((whole[name] == killed[name]).all() for name in whole)
    assert newest_progress(tmp_path / "killed").before_fall == 8
    assert [one.step for one in list_checkpoints(tmp_path / "killed")] == [8, 9, 10]


@pytest.mark.long
def test_time_limit_moves_the_end(shapes, tmp_path, monkeypatch, no_curves):
    """A second a step, and 12 seconds: at step 4 the end becomes 12, and the rate falls from step 10."""
    now = [0.0]
    monkeypatch.setattr(trainer, "TimeLimit", lambda seconds: TimeLimit(seconds, lambda: now[0]))

    def tick(step, loss):
        now[0] += 1

    config = dataclasses.replace(CONFIG, training_number_of_steps=60, early_end_step=50, time_limit=12.0)
    _train(tmp_path / "run", shapes, config, tick)
    progress = newest_progress(tmp_path / "run")
    assert (progress.step, progress.shortened, progress.before_fall) == (12, (10, 12), 10)
    assert 10 in [one.step for one in list_checkpoints(tmp_path / "run")]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"early_end_step": 14}, "--early_end_step=14 must be from 2 to --training_number_of_steps=14 - 1"),
        ({"early_end_step": 1}, "--early_end_step=1 must be from 2"),
        ({"early_end_step": -1}, "--early_end_step must not be negative"),
        ({"early_end_step": 5, "early_stopping_patience": 2, "eval_interval_steps": 1}, "give one of the two"),
    ],
)
def test_contradictory_flags_are_refused(fields, said):
    with pytest.raises(UserError, match=said):
        dataclasses.replace(CONFIG, **fields)
