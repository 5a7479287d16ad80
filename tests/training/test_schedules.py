"""The learning rates against hand-computed values and those of the published code."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_dpc.config import TrainConfig
from deeplab_dpc.training.schedules import PolySchedule, SlowStart, StepSchedule, build_schedule

# Flags, and pairs (step, rate).
CASES = {
    "poly": (
        {"base_learning_rate": 2.0, "training_number_of_steps": 100},
        [(0, 2.0), (50, 2.0 * 0.5**0.9), (100, 0.0), (500, 0.0)],
    ),
    "poly with an end": (
        {"base_learning_rate": 2.0, "training_number_of_steps": 100, "learning_power": 2.0, "end_learning_rate": 1.0},
        [(0, 2.0), (50, 1.25), (100, 1.0), (500, 1.0)],
    ),
    "poly after a constant slow start": (
        {
            "base_learning_rate": 2.0,
            "training_number_of_steps": 110,
            "slow_start_step": 10,
            "slow_start_learning_rate": 0.5,
        },
        [(0, 0.5), (9, 0.5), (10, 2.0), (60, 2.0 * 0.5**0.9), (110, 0.0), (500, 0.0)],
    ),
    "poly after a linear slow start": (
        {
            "base_learning_rate": 2.0,
            "training_number_of_steps": 110,
            "slow_start_step": 10,
            "slow_start_learning_rate": 0.5,
            "slow_start_burnin_type": "linear",
        },
        [(0, 0.5), (4, 1.1), (10, 2.0), (60, 2.0 * 0.5**0.9)],
    ),
    "step": (
        {
            "learning_policy": "step",
            "base_learning_rate": 0.8,
            "training_number_of_steps": 100,
            "learning_rate_decay_step": 30,
            "learning_rate_decay_factor": 0.5,
        },
        [(0, 0.8), (29, 0.8), (30, 0.4), (59, 0.4), (60, 0.2), (90, 0.1), (100, 0.1), (120, 0.05)],
    ),
    "step after a slow start": (
        {
            "learning_policy": "step",
            "base_learning_rate": 0.8,
            "learning_rate_decay_step": 30,
            "slow_start_step": 7,
            "slow_start_learning_rate": 0.1,
        },
        [(6, 0.1), (7, 0.8), (36, 0.8), (37, 0.08)],
    ),
    "cosine": (
        {"learning_policy": "cosine", "base_learning_rate": 2.0, "training_number_of_steps": 100},
        [(0, 2.0), (25, 1 + np.sqrt(0.5)), (50, 1.0), (100, 0.0), (500, 0.0)],
    ),
    "cosine with an end, warmed up linearly": (
        {
            "learning_policy": "cosine",
            "base_learning_rate": 2.0,
            "training_number_of_steps": 110,
            "end_learning_rate": 1.0,
            "slow_start_step": 10,
            "slow_start_learning_rate": 0.0,
        },
        [(0, 0.0), (5, 1.0), (10, 2.0), (60, 1.5), (110, 1.0), (500, 1.0)],
    ),
    "cosine after a constant slow start": (
        {
            "learning_policy": "cosine",
            "base_learning_rate": 2.0,
            "training_number_of_steps": 110,
            "slow_start_step": 10,
            "slow_start_learning_rate": 0.5,
            "slow_start_burnin_type": "none",
        },
        [(0, 0.5), (9, 0.5), (10, 2.0), (60, 1.0)],
    ),
    "slow start to the end": (
        {"training_number_of_steps": 10, "slow_start_step": 10, "slow_start_learning_rate": 0.5},
        [(0, 0.5), (9, 0.5)],
    ),
}


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "xla"])
@pytest.mark.parametrize("name", CASES)
def test_rates_at_steps(name, compiled):
    flags, pairs = CASES[name]
    schedule = build_schedule(TrainConfig(**flags))
    call = tf.function(schedule, jit_compile=True) if compiled else schedule
    rates = {step: float(call(tf.constant(step, tf.int64))) for step, _ in pairs}
    assert rates == {step: pytest.approx(rate, rel=1e-5, abs=1e-7) for step, rate in pairs}


def test_rates_equal_the_published_codes(shared):
    cases = json.loads((shared / "reference" / "losses_and_schedules.json").read_text())["learning_rate"]
    compared = 0
    for arguments, pairs in cases.items():
        schedule = build_schedule(TrainConfig(**json.loads(arguments)))
        for step, rate in pairs:
            assert float(schedule(step)) == pytest.approx(rate, rel=1e-5)
            compared += 1
    assert compared == 20


@pytest.mark.parametrize("name", CASES)
def test_schedules_are_serializable(name):
    flags, pairs = CASES[name]
    schedule = build_schedule(TrainConfig(**flags))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert [float(again(step)) for step, _ in pairs] == [float(schedule(step)) for step, _ in pairs]


def test_rate_falls_at_the_step_under_xla_too():
    schedule = tf.function(StepSchedule(1.0, 49, 0.5), jit_compile=True)
    rates = [float(schedule(tf.constant(49 * falls))) for falls in range(60)]
    assert rates == pytest.approx([0.5**falls for falls in range(60)], rel=1e-5)


def test_lengths_below_one_are_errors():
    with pytest.raises(ValueError, match="`training_number_of_steps` must be >= 1, got 0"):
        PolySchedule(0.1, 0)
    with pytest.raises(ValueError, match="`learning_rate_decay_step` must be >= 1, got 0"):
        StepSchedule(0.1, 0)
    with pytest.raises(ValueError, match="`slow_start_step` must be >= 1, got 0"):
        SlowStart(PolySchedule(0.1, 10), 0, 0.1)
