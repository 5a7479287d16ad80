"""Trainings that get fewer steps, since these take longer than the time limit allows."""

import dataclasses

import pytest
from tiny_network import tiny_network

from deeplab_dpc.checkpoint.run import newest_progress, read_weights
from deeplab_dpc.checkpoint.run_directory import latest_checkpoint
from deeplab_dpc.checkpoint.run_state import DamageError, Progress, read_progress, write_sealed
from deeplab_dpc.config import DataConfig, TrainConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.training import trainer
from deeplab_dpc.training.distribution import ONE_DEVICE
from deeplab_dpc.training.time_limit import TimeLimit

CONFIG = TrainConfig(
    training_number_of_steps=40, train_batch_size=2, log_steps=2, save_interval_steps=5, time_limit=12.0
)


class _Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    ("seconds", "found"),
    [
        (1.0, None),  # 90 steps more take 90 of the 90 s that are left
        (1.03, None),  # 92.7 of 89.7 s: within 3 % of the limit of 100 s
        (1.05, 95),  # 94.5 of 89.5 s, in which there are 85 steps
        (2.0, 50),
        (8.0, 12),
        (9.9, 11),  # there is time for none: the least is one
    ],
)
def test_steps_that_do_not_fit_into_the_time_are_left_out(seconds, found):
    clock = _Clock()
    limit = TimeLimit(100.0, clock)
    assert limit.shorter_end(0, 100) is None  # nothing is measured yet
    clock.now += 10 * seconds
    assert limit.shorter_end(10, 100) == found


def test_pace_is_measured_again_after_the_training_was_shortened():
    clock = _Clock()
    limit = TimeLimit(100.0, clock)
    limit.shorter_end(0, 100)
    clock.now += 20
    assert limit.shorter_end(10, 100) == 50
    clock.now += 50  # a compilation, for example
    assert limit.shorter_end(20, 50) is None
    clock.now += 10
    assert limit.shorter_end(30, 50) is None  # 20 steps at 1 s
    clock.now += 30
    assert limit.shorter_end(40, 50) == 42  # late already: a twentieth of the steps so far, in which the rate falls


def _train(workdir, dataset, config=CONFIG, devices=ONE_DEVICE, on_step=None):
    data = DataConfig(data_dir="", train_crop_size=(33, 33))
    return trainer.train(workdir, tiny_network(num_classes=7), data, config, dataset, None, devices, on_step)


def test_training_ends_in_time_and_at_the_same_step_after_a_kill(shapes, tmp_path, monkeypatch, capsys, no_curves):
    """A second a step: at step 4 there are 8 s for 36 steps, so that the last step is 12."""
    clock = _Clock()
    monkeypatch.setattr(trainer, "TimeLimit", lambda seconds: TimeLimit(seconds, clock))

    def tick(step, loss):
        clock.now += 1
        if clock.now == stop_at:
            raise KeyboardInterrupt

    stop_at = None
    _train(tmp_path / "one", shapes, on_step=tick)
    said = capsys.readouterr().out
    assert "Its steps take longer than --time_limit=12 allows: the learning rate falls to 0 at step 12" in said
    assert newest_progress(tmp_path / "one").shortened == (4, 12)
    assert latest_checkpoint(tmp_path / "one").step == 12

    stop_at = clock.now + 9
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "killed", shapes, on_step=tick)
    assert latest_checkpoint(tmp_path / "killed").step == 5
    _train(tmp_path / "killed", shapes, dataclasses.replace(CONFIG, time_limit=1000.0))
    assert latest_checkpoint(tmp_path / "killed").step == 12
    one, killed = (read_weights(latest_checkpoint(tmp_path / name)) for name in ("one", "killed"))
    assert all((one[name] == killed[name]).all() for name in one)
    capsys.readouterr()
    _train(tmp_path / "killed", shapes)
    assert "is trained: step 12 of 12." in capsys.readouterr().out


def test_fork_of_a_shortened_training_has_its_own_end(shapes, tmp_path, monkeypatch, no_curves):
    clock = _Clock()
    monkeypatch.setattr(trainer, "TimeLimit", lambda seconds: TimeLimit(seconds, clock))

    def tick(step, loss):
        clock.now += 4

    _train(tmp_path / "one", shapes, on_step=tick)
    ended = latest_checkpoint(tmp_path / "one").step
    assert ended < 10
    fork = dataclasses.replace(
        CONFIG, fork_from=str(tmp_path / "one"), training_number_of_steps=ended + 2, time_limit=0.0
    )
    _train(tmp_path / "fork", shapes, fork)
    assert latest_checkpoint(tmp_path / "fork").step == ended + 2
    assert newest_progress(tmp_path / "fork").shortened is None


@pytest.mark.parametrize("value", [3, [1], [1, "2"], [1, 2, 3], None])
def test_damaged_end_is_found(tmp_path, value):
    path = tmp_path / "progress.json"
    write_sealed(path, {**dataclasses.asdict(Progress(step=4)), "run": "x", "shortened": value})
    with pytest.raises(DamageError, match="does not hold what was written"):
        read_progress(path)


def test_limit_of_several_processes_is_refused(shapes, tmp_path):
    with pytest.raises(UserError, match="--time_limit=12 is for one process"):
        _train(tmp_path / "run", shapes, devices=dataclasses.replace(ONE_DEVICE, num_processes=2))
    with pytest.raises(UserError, match="--time_limit must not be negative"):
        dataclasses.replace(CONFIG, time_limit=-1.0)
