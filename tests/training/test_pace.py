"""Seconds of a step, by a clock that the tests set."""

import pytest

from deeplab_dpc.training import recorder
from deeplab_dpc.training.recorder import Pace


class _Clock:
    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = _Clock()
    monkeypatch.setattr(recorder, "time", clock)
    return clock


def _steps(measured, clock, *seconds):
    for duration in seconds:
        clock.now += duration
        measured.step()


def test_first_step_and_evaluations_do_not_count(clock):
    measured = Pace()
    _steps(measured, clock, 60.0)  # traces and compiles
    measured.started()
    _steps(measured, clock, 2.0, 2.0)
    measured.started()
    clock.now += 30.0
    measured.leave_out(30.0)
    _steps(measured, clock, 5.0)
    assert measured.seconds_per_step() == pytest.approx(3.0)
    assert measured.read() == pytest.approx(3.0)


def test_each_reading_is_of_the_steps_since_the_one_before(clock):
    measured = Pace()
    _steps(measured, clock, 1.0, 3.0)
    assert measured.read() == pytest.approx(2.0)
    _steps(measured, clock, 7.0)
    assert measured.read() == pytest.approx(7.0)


def test_a_single_first_step_counts_where_it_is_all_there_is(clock):
    measured = Pace()
    _steps(measured, clock, 4.0)
    assert measured.read() == pytest.approx(4.0)
