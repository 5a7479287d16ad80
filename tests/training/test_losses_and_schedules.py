"""Loss and learning rate against hand-computed values and those of the published code."""

import importlib.util
import json

import numpy as np
import pytest
from keras import ops

from deeplab_dpc.config import TrainConfig
from deeplab_dpc.training.losses import SegmentationLoss
from deeplab_dpc.training.schedules import PolySchedule, build_schedule


def _loss(labels, logits):
    return float(SegmentationLoss()(np.asarray(labels, "int32"), ops.convert_to_tensor(logits, "float32")))


def test_loss_is_the_mean_over_labelled_pixels():
    logits = np.log([[[[0.25, 0.75], [0.5, 0.5], [0.9, 0.1]]]])
    expected = (-np.log(0.75) - np.log(0.5)) / 2
    assert _loss([[[1, 0, 255]]], logits) == pytest.approx(expected, rel=1e-6)


def test_loss_of_unlabelled_images_is_zero():
    assert _loss(np.full((1, 3, 3), 255), np.ones((1, 2, 2, 4))) == 0.0


def test_logits_are_upsampled_to_the_labels():
    # One row of logits 0 and 2 for class 1; the middle pixel sees 1.
    logits = np.array([[[[0.0, 0.0], [0.0, 2.0]]]])
    assert _loss([[[255, 1, 255]]], logits) == pytest.approx(np.log(1 + np.exp(-1.0)), rel=1e-6)


def test_loss_equals_the_published_codes(shared):
    folder = shared / "reference"
    spec = importlib.util.spec_from_file_location("values", folder / "checkpoints" / "variable_values.py")
    values = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(values)
    logits = 3.0 * values._uniform("loss_logits", [2, 9, 13, 19])
    labels = np.floor((values._uniform("loss_labels", [2, 65, 97, 1]) + 1) / 2 * 22)[..., 0]
    labels[labels >= 19] = 255
    expected = json.loads((folder / "losses_and_schedules.json").read_text())["losses"]["plain"]
    assert _loss(labels, logits) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.5), (9, 0.5), (10, 2.0), (60, 2.0 * 0.5**0.9), (110, 0.0), (500, 0.0)]
)
def test_poly_rate_with_slow_start(step, rate):
    schedule = PolySchedule(2.0, 110, 0.9, slow_start_step=10, slow_start_learning_rate=0.5)
    assert float(schedule(step)) == pytest.approx(rate, rel=1e-5)


def test_poly_rate_equals_the_published_codes(shared):
    cases = json.loads((shared / "reference" / "losses_and_schedules.json").read_text())["learning_rate"]
    compared = 0
    for arguments, pairs in cases.items():
        flags = json.loads(arguments)
        if flags.pop("learning_policy") != "poly":
            continue
        del flags["learning_rate_decay_step"], flags["learning_rate_decay_factor"]
        schedule = build_schedule(TrainConfig(**flags))
        for step, rate in pairs:
            assert float(schedule(step)) == pytest.approx(rate, rel=1e-4, abs=1e-12)
            compared += 1
    assert compared >= 10
