"""Trainings that end when they no longer improve."""

import dataclasses

import keras
import numpy as np
import pytest
from tiny_network import tiny_network

from deeplab_dpc.checkpoint.run import read_weights
from deeplab_dpc.checkpoint.run_directory import latest_checkpoint
from deeplab_dpc.checkpoint.run_state import Progress
from deeplab_dpc.config import DataConfig, TrainConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.validation import Validation
from deeplab_dpc.training.distribution import ONE_DEVICE
from deeplab_dpc.training.early_end import Ending, early_ending
from deeplab_dpc.training.hooks import Hooks
from deeplab_dpc.training.schedules import EarlyEnd, build_schedule
from deeplab_dpc.training.trainer import train

CONFIG = TrainConfig(
    training_number_of_steps=40,
    train_batch_size=2,
    log_steps=1,
    save_interval_steps=5,
    eval_interval_steps=2,
    early_stopping_patience=2,
)
SCORES = (0.1, 0.4, 0.3, 0.4, 0.2, 0.5)  # of steps 2, 4, ...: after that of step 8 none was better twice


def _rows(scores, interval=10):
    return [{"step": interval * number, "miou": score} for number, score in enumerate(scores, start=1)]


@pytest.mark.parametrize(
    ("scores", "began", "ending"),
    [
        ((0.1, 0.2, 0.3, 0.4), 0, None),
        ((0.1, 0.4, 0.3), 0, None),
        ((0.1, 0.4, 0.3, 0.2), 0, Ending(40, 48, 20)),
        ((0.1, 0.4, 0.3, 0.2, 0.9), 0, Ending(40, 48, 20)),  # what comes after changes nothing
        ((0.4, 0.4, 0.4), 0, Ending(30, 36, 10)),  # an equal score is no better one
        ((0.1, 0.4, 0.3, 0.5, 0.5, 0.5), 0, Ending(60, 72, 40)),
        ((np.nan, np.nan), 0, Ending(20, 24, 0)),
        ((0.4, 0.3, 0.2, 0.1, 0.2, 0.1, 0.2), 30, Ending(70, 84, 50)),  # a fork counts its own
        ((0.4, 0.3, 0.2, 0.1), 30, None),
    ],
)
def test_patience_is_exhausted_by_evaluations_in_turn_without_a_better_score(scores, began, ending):
    config = dataclasses.replace(CONFIG, training_number_of_steps=1000)
    assert early_ending(config, Progress(validations=_rows(scores), began=began)) == ending


def test_training_that_is_nearly_over_ends_as_planned():
    progress = Progress(validations=_rows((0.4, 0.3, 0.2)))
    assert early_ending(dataclasses.replace(CONFIG, training_number_of_steps=36), progress) is None
    assert early_ending(dataclasses.replace(CONFIG, training_number_of_steps=37), progress) == Ending(30, 36, 10)
    assert early_ending(dataclasses.replace(CONFIG, early_stopping_patience=0), progress) is None


def test_rate_falls_to_zero_from_where_it_is():
    """Poly with power 1 from 0.1: at step 20 of 40 half of that."""
    config = dataclasses.replace(CONFIG, base_learning_rate=0.1, learning_power=1.0)
    schedule = build_schedule(config, Ending(20, 24, 10))
    rates = [float(schedule(step)) for step in (0, 10, 20, 21, 23, 24, 30)]
    assert rates == pytest.approx([0.1, 0.075, 0.05, 0.0375, 0.0125, 0.0, 0.0])
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert float(again(21)) == float(schedule(21))
    with pytest.raises(ValueError, match="`end` must be > `start`, got 20 and 20"):
        EarlyEnd(schedule, 20, 20)


class _Scores:
    """Stands for an evaluation: says SCORES in turn, and may die at one."""

    def __init__(self, done=0, dies_at=None):
        self._done, self._dies_at = done, dies_at

    def __call__(self, arrays):
        if self._done == self._dies_at:
            raise KeyboardInterrupt
        self._done += 1
        return Validation({"miou": SCORES[self._done - 1]}, {}, np.zeros((1, 4, 4, 3), "uint8"))


def _train(workdir, dataset, validator, config=CONFIG, devices=ONE_DEVICE):
    data = DataConfig(data_dir="", train_crop_size=(33, 33))
    return train(workdir, tiny_network(num_classes=7), data, config, dataset, Hooks(validator), devices)


def _columns(workdir):
    lines = [line.split(",") for line in (workdir / "metrics.csv").read_text().splitlines()]
    step, rate = (lines[0].index(name) for name in ("step", "learning_rate"))
    return {int(line[step]): float(line[rate]) for line in lines[1:]}


def test_training_ends_early_and_the_same_after_a_kill(shapes, tmp_path, capsys, no_curves):
    """Patience ends at step 8, the training at 9; killed at the evaluation there, it goes on from step 8."""
    _train(tmp_path / "one", shapes, _Scores())
    said = capsys.readouterr().out
    assert "No better mIOU in 2 evaluations (the best is of step 4): from step 8 the learning rate falls to 0" in said
    assert latest_checkpoint(tmp_path / "one").step == 9
    rates = _columns(tmp_path / "one")
    assert (list(rates), rates[9]) == (list(range(1, 10)), 0.0)
    assert rates[7] == pytest.approx(float(build_schedule(dataclasses.replace(CONFIG, early_stopping_patience=0))(7)))

    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "killed", shapes, _Scores(dies_at=4))
    assert latest_checkpoint(tmp_path / "killed").step == 8
    _train(tmp_path / "killed", shapes, _Scores(done=4))
    one, killed = (read_weights(latest_checkpoint(tmp_path / name)) for name in ("one", "killed"))
    assert all((one[name] == killed[name]).all() for name in one)
    assert _columns(tmp_path / "killed") == rates

    _train(tmp_path / "killed", shapes, _Scores(done=5))
    assert "is trained: step 9 of 9." in capsys.readouterr().out


def test_patience_without_evaluations_is_refused(shapes, tmp_path):
    with pytest.raises(UserError, match="--early_stopping_patience=2 counts evaluations, and --eval_interval_steps=0"):
        dataclasses.replace(CONFIG, eval_interval_steps=0)
    with pytest.raises(UserError, match="--early_stopping_patience=2 needs evaluations, and this training has none"):
        _train(tmp_path, shapes, None)
    with pytest.raises(UserError, match="--early_stopping_patience=2 is for one process"):
        _train(tmp_path, shapes, _Scores(), devices=dataclasses.replace(ONE_DEVICE, num_processes=2))
    assert not list(tmp_path.iterdir())
