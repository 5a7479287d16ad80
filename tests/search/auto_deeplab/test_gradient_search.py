"""The loop of a search by gradient: its batches, epochs and rows, and that it continues as if nothing had happened."""

import csv
import dataclasses
import signal

import numpy as np
import pytest
from fake_program import FakeProgram, FakeStreams

from deeplab_dpc.config import AutoDeepLabConfig
from deeplab_dpc.errors import Stopped, UserError
from deeplab_dpc.search.auto_deeplab import epoch_records
from deeplab_dpc.search.auto_deeplab.checkpoints import flatten
from deeplab_dpc.search.auto_deeplab.gradient_search import GradientSearch
from deeplab_dpc.search.auto_deeplab.plan import Plan

# With 6 images in a half: 3 steps an epoch of 2 images each.
CONFIG = AutoDeepLabConfig(
    num_layers=2,
    num_blocks=2,
    search_epochs=3,
    architecture_start_epoch=1,
    search_batch_size=2,
    search_save_interval_steps=2,
)
SKIP = 6  # the column of the skip operator


class Killed(Exception):  # noqa: N818 (no error)
    """In place of kill -9."""


@pytest.fixture
def streams() -> FakeStreams:
    return FakeStreams()


@pytest.fixture(autouse=True)
def _no_drawings(monkeypatch):
    """They take seconds, and have tests of their own."""
    monkeypatch.setattr(epoch_records, "write_report", lambda *arguments: None)


def _search(workdir, streams, program, on_step=None, **changes) -> GradientSearch:
    return GradientSearch(workdir, program, streams, Plan(dataclasses.replace(CONFIG, **changes), half_size=6), on_step)


def _program(**arguments) -> FakeProgram:
    return FakeProgram(num_classes=3, **arguments)


def _until(step: int):
    def stop(done: int) -> None:
        if done == step:
            raise Killed

    return stop


def _without_seconds(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def test_each_step_takes_the_next_batch_of_its_half(tmp_path, streams):
    program = _program()
    _search(tmp_path, streams, program).run()
    weights, architecture = streams.weights(0), streams.architecture(0)
    assert program.weight_batches == [float(next(weights)[0].mean()) for _ in range(9)]
    assert program.architecture_batches == [float(next(architecture)[0].mean()) for _ in range(6)]
    assert len(set(program.architecture_batches)) == 6


def test_rows_have_the_losses_of_their_epoch_and_the_scores_of_the_split(tmp_path, streams):
    program = _program()
    standing = _search(tmp_path, streams, program).run()
    rows = standing.history
    assert [(row["epoch"], row["step"]) for row in rows] == [(1, 3), (2, 6), (3, 9)]
    losses = np.array(program.weight_batches) / 255.0
    np.testing.assert_allclose([row["weight_loss"] for row in rows], losses.reshape(3, 3).mean(axis=1), rtol=1e-6)
    assert rows[0]["architecture_loss"] is None
    assert rows[1]["architecture_loss"] < rows[2]["architecture_loss"]
    # Pixels of class 0, 1, 2, 0; all are predicted as 0: IoU 2 / 4, 0 and 0.
    assert rows[0]["pixel_accuracy"] == 0.5
    assert rows[0]["miou"] == pytest.approx(0.5 / 3)
    with open(tmp_path / "metrics.csv", newline="") as stream:
        written = list(csv.DictReader(stream))
    assert [row["miou"] for row in written] == [str(row["miou"]) for row in rows]


# Saved are every second step and the ends of epochs, steps 3, 6 and 9; what is killed is not saved yet.
@pytest.mark.parametrize(("step", "last_saved"), [(1, 0), (3, 2), (4, 3), (5, 4), (9, 8)])
def test_killed_search_ends_as_the_uninterrupted_one(tmp_path, streams, step, last_saved):
    expected = _search(tmp_path / "whole", streams, _program()).run()
    with pytest.raises(Killed):
        _search(tmp_path / "killed", streams, _program(), _until(step)).run()
    continued = _search(tmp_path / "killed", streams, _program())
    assert continued.standing.step == last_saved
    found = continued.run()
    for name, value in flatten(expected.state).items():
        np.testing.assert_array_equal(np.asarray(flatten(found.state)[name]), np.asarray(value))
    assert _without_seconds(found.history) == _without_seconds(expected.history)


def test_signal_saves_the_step(tmp_path, streams):
    def interrupt(done: int) -> None:
        if done == 5:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Stopped, match="stopped by SIGTERM; step 5 is saved, and the same command continues"):
        _search(tmp_path, streams, _program(), interrupt, search_save_interval_steps=100).run()
    assert _search(tmp_path, streams, _program()).standing.step == 5


def test_two_checkpoints_are_kept_and_a_damaged_one_is_set_aside(tmp_path, streams, capsys):
    expected = _search(tmp_path / "whole", streams, _program()).run()
    with pytest.raises(Killed):
        _search(tmp_path / "torn", streams, _program(), _until(9)).run()
    folder = tmp_path / "torn" / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["step_00000006", "step_00000008"]
    state = folder / "step_00000008" / "state.npz"
    state.write_bytes(state.read_bytes()[:-30])
    continued = _search(tmp_path / "torn", streams, _program())
    assert "step_00000008 is damaged" in capsys.readouterr().out
    assert (continued.standing.step, (folder / "damaged_step_00000008").is_dir()) == (6, True)
    assert _without_seconds(continued.run().history) == _without_seconds(expected.history)


def test_search_stops_when_skips_dominate(tmp_path, streams):
    search = _search(tmp_path, streams, _program(favourite=SKIP), stop_at_skips=3)
    rows = search.run().history
    # Before the second epoch alphas are not trained, whatever the decoded cell holds.
    assert [row["stopped"] for row in rows] == ["", "4 of 4 operators are skip (--stop_at_skips=3)"]
    again = _search(tmp_path, streams, _program(favourite=SKIP), stop_at_skips=3)
    assert again.is_over
    assert again.run().step == 6


def test_skips_do_not_stop_a_search_that_was_not_asked_to(tmp_path, streams):
    rows = _search(tmp_path, streams, _program(favourite=SKIP)).run().history
    assert [row["num_skips"] for row in rows[1:]] == [4, 4]
    assert len(rows) == 3


def test_loss_that_is_not_finite_ends_the_search_before_it_is_saved(tmp_path, streams):
    with pytest.raises(
        UserError, match="loss of the weights is nan in step 5: search with a lower --weight_learning_rate"
    ):
        _search(tmp_path, streams, _program(bad_step=5)).run()
    assert _search(tmp_path, streams, _program()).standing.step == 4


def test_checkpoint_of_another_supernet_is_refused(tmp_path, streams):
    _search(tmp_path, streams, _program(), search_epochs=2).run()
    program = _program()
    other = {**program.initial_state(), "weights": np.zeros(4, "float32")}
    program.initial_state = lambda: other
    with pytest.raises(UserError, match="does not fit the supernet: weights is absent or has another shape"):
        _search(tmp_path, streams, program)
