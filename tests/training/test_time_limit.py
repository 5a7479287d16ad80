"""Trainings that get fewer steps, since these take longer than the time limit allows."""

import dataclasses

import pytest
from tiny_network import tiny_network

from deeplab_dpc.checkpoint.run import newest_progress, read_weights
from deeplab_dpc.checkpoint.run_directory import latest_checkpoint
from deeplab_dpc.checkpoint.run_state import DamageError, Progress, read_progress, write_sealed
from deeplab_dpc.config import DataConfig, TrainConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.layers.normalization import BatchNorm
from deeplab_dpc.training import trainer
from deeplab_dpc.training.distribution import ONE_DEVICE
from deeplab_dpc.training.early_end import TimeLimit
from deeplab_dpc.training.hooks import Hooks

CONFIG = TrainConfig(
    training_number_of_steps=40, train_batch_size=2, log_steps=2, save_interval_steps=5, time_limit=12.0
)


class _Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def _called(limit, clock, seconds, *steps):
    """Calls the limit at each step, with so many seconds a step; returns its last answer."""
    found, before = None, None
    for step in steps:
        clock.now += seconds * (0 if before is None else step - before)
        found, before = limit.shorter_end(step, 100), step
    return found


@pytest.mark.parametrize(
    ("seconds", "found"),
    [
        (1.0, None),  # 88 steps more take 88 of the 88 s that are left
        (1.02, None),  # 89.76 of 87.76 s: within 3 % of the limit of 100 s
        (1.05, 95),  # 92.4 of 87.4 s, in which there are 83 steps
        (2.0, 50),
        (8.0, 13),  # there is time for none: the least is one
    ],
)
def test_steps_that_do_not_fit_into_the_time_are_left_out(seconds, found):
    clock = _Clock()
    limit = TimeLimit(100.0, clock)
    assert _called(limit, clock, seconds, 0, 4, 8) is None  # too little is measured
    clock.now += 4 * seconds
    assert limit.shorter_end(12, 100) == found


def test_slow_phase_shortens_only_by_its_share():
    clock = _Clock()
    limit = TimeLimit(200.0, clock)
    assert _called(limit, clock, 2.0, 0, 10, 20) is None
    clock.now += 20
    assert limit.shorter_end(30, 120) == 30 + (200 - 60) // 2
    limit.start(30)
    limit.leave_out(0.0)
    assert _called(limit, clock, 1.0, 30, 40, 50) is None
    clock.now += 10
    assert limit.shorter_end(60, 200) == 60 + int((200 - 90) / 1.5)  # the mean of 30 steps of 2 s and 30 of 1 s


def test_another_start_is_paid_for_and_must_be_worth_it():
    clock = _Clock()
    limit = TimeLimit(100.0, clock)
    clock.now += 20  # until step 4, whose steps take 4 of them: another start costs 16 s
    assert _called(limit, clock, 1.0, 4, 6, 8, 10) == 10 + 100 - 26 - 16
    limit = TimeLimit(100.0, clock)
    clock.now += 14  # a start costs 10 s, and 10 steps are too many
    assert _called(limit, clock, 1.0, 4, 6, 8, 10) == 10 + 100 - 20 - 10
    limit = TimeLimit(100.0, clock)
    clock.now += 10.5
    assert _called(limit, clock, 1.0, 4, 6, 8, 10) == 10 + 100 - 16.5 - 6.5  # 90 s for 83.5 s: 13 steps for a start
    limit = TimeLimit(100.0, clock)
    limit.start(84)
    clock.now += 50
    assert _called(limit, clock, 4.0, 85, 88, 91, 94) is None  # 24 s of steps for 14 s, but a start costs 46 s


def test_a_constant_pace_shortens_once():
    clock = _Clock()
    limit = TimeLimit(100.0, clock)
    ends, end, step = [], 200, 0
    while step < end:
        limit.start(step)
        clock.now += 10  # compilation
        while step < end:
            step += 2
            clock.now += 2
            found = limit.shorter_end(step, end)
            if found is not None:
                ends.append(found)
                end = found
                break
    assert len(ends) == 1
    assert abs(clock.now - 200.0) <= 3  # it began at 100


def test_evaluations_are_no_part_of_the_pace_but_of_the_time():
    clock = _Clock()
    limit = TimeLimit(100.0, clock)
    assert _called(limit, clock, 0.5, 0, 2, 4) is None
    clock.now += 30
    limit.leave_out(30)
    clock.now += 1
    assert limit.shorter_end(6, 100) is None  # 47 of the 67 s that are left
    clock.now += 1
    assert limit.shorter_end(8, 100, reserve=30) == 8 + 72  # 46 s of steps, and 36 s


def _train(workdir, dataset, config=CONFIG, devices=ONE_DEVICE, on_step=None):
    data = DataConfig(data_dir="", train_crop_size=(33, 33))
    return trainer.train(workdir, tiny_network(num_classes=7), data, config, dataset, Hooks(on_step=on_step), devices)


def test_training_ends_in_time_and_at_the_same_step_after_a_kill(shapes, tmp_path, monkeypatch, capsys, no_curves):
    """A second a step: at step 8 there are 4 s for 32 steps, so that the last step is 12."""
    clock = _Clock()
    monkeypatch.setattr(trainer, "TimeLimit", lambda seconds: TimeLimit(seconds, clock))

    def tick(step, loss):
        clock.now += 1
        if clock.now == stop_at:
            raise KeyboardInterrupt

    stop_at = None
    _train(tmp_path / "one", shapes, on_step=tick)
    said = capsys.readouterr().out
    assert "is shortened, since its steps take too long for its time limit: from step 8 the learning rate" in said
    assert newest_progress(tmp_path / "one").shortened == (8, 12)
    assert latest_checkpoint(tmp_path / "one").step == 12

    stop_at = clock.now + 9
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "killed", shapes, on_step=tick)
    assert latest_checkpoint(tmp_path / "killed").step == 8
    _train(tmp_path / "killed", shapes, dataclasses.replace(CONFIG, time_limit=1000.0))
    assert latest_checkpoint(tmp_path / "killed").step == 12
    one, killed = (read_weights(latest_checkpoint(tmp_path / name)) for name in ("one", "killed"))
    assert all((one[name] == killed[name]).all() for name in one)
    capsys.readouterr()
    _train(tmp_path / "killed", shapes)
    assert "is trained: step 12 of 12." in capsys.readouterr().out


def test_averages_of_batch_norm_span_a_tenth_of_the_steps_that_are_left(shapes, tmp_path, monkeypatch, no_curves):
    model = trainer.build_training_model(tiny_network(num_classes=7), CONFIG, 255)
    model.optimizer.build(model.network.trainable_variables)
    before = {layer.decay for layer in model.network._flatten_layers() if isinstance(layer, BatchNorm)}
    trainer._end_early(model, CONFIG, Progress(step=10, shortened=(10, 20)))
    after = {layer.decay for layer in model.network._flatten_layers() if isinstance(layer, BatchNorm)}
    assert (before, after) == ({0.75}, {0.5})


def test_fork_of_a_shortened_training_has_its_own_end(shapes, tmp_path, monkeypatch, no_curves):
    clock = _Clock()
    monkeypatch.setattr(trainer, "TimeLimit", lambda seconds: TimeLimit(seconds, clock))

    def tick(step, loss):
        clock.now += 4

    _train(tmp_path / "one", shapes, on_step=tick)
    ended = latest_checkpoint(tmp_path / "one").step
    assert ended == 9
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
