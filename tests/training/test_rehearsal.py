"""A dry run: what it measures, and that it does not run what would not fit."""

import keras
import numpy as np
import pytest
from tiny_network import tiny_network

from deeplab_dpc.config import TrainConfig
from deeplab_dpc.training import rehearsal
from deeplab_dpc.training.training_model import build_training_model

MODEL = tiny_network(num_classes=3)
CONFIG = TrainConfig(training_number_of_steps=1000, train_batch_size=4)
GIGABYTE = 10**9


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = build_training_model(MODEL, CONFIG, 255)
    model.run_eagerly = True
    return model


@pytest.fixture
def batches(rng):
    def batch():
        return rng.uniform(0, 255, (4, 33, 33, 3)).astype("float32"), rng.integers(0, 3, (4, 33, 33)).astype("int32")

    return iter([batch() for _ in range(3)])


def _memory(monkeypatch, free, peaks):
    """Sets what is free, and the peak at each time that it is asked for."""
    monkeypatch.setattr(rehearsal, "free_memory", lambda: free)
    measured = iter(peaks)
    monkeypatch.setattr(rehearsal, "peak_memory", lambda: next(measured))


def test_whole_batch_is_run_where_it_fits(model, batches, monkeypatch):
    sizes = []
    step = model.train_on_batch
    monkeypatch.setattr(model, "train_on_batch", lambda x, y, **kwargs: sizes.append(len(x)) or step(x, y, **kwargs))
    _memory(monkeypatch, 100 * GIGABYTE, [GIGABYTE, 2 * GIGABYTE, 5 * GIGABYTE, 5 * GIGABYTE])
    found = rehearsal.rehearse(model, batches, CONFIG)
    assert sizes == [1, 1, 1, *7 * [4]]
    assert found.fits
    assert found.batch_size == 4
    assert found.memory_needed == found.peak_memory == 5 * GIGABYTE
    slower = max(found.seconds_per_step, found.input_seconds_per_batch)
    assert found.total_seconds == pytest.approx(1000 * slower)
    assert np.isfinite(list(found.values.values())).all()


def test_batch_that_would_not_fit_is_estimated_from_one_image(model, batches, monkeypatch):
    sizes = []
    step = model.train_on_batch
    monkeypatch.setattr(model, "train_on_batch", lambda x, y, **kwargs: sizes.append(len(x)) or step(x, y, **kwargs))
    # One image takes one gigabyte, so three more are needed, of which 2.7 are counted on.
    _memory(monkeypatch, 3 * GIGABYTE, [GIGABYTE, 2 * GIGABYTE, 2 * GIGABYTE])
    found = rehearsal.rehearse(model, batches, CONFIG)
    assert sizes == [1, 1, 1]
    assert not found.fits
    assert found.batch_size == 1
    assert found.memory_needed == 5 * GIGABYTE


def test_bfloat16_of_a_processor_is_found_by_its_flags(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    assert not rehearsal.has_bfloat16(cpuinfo)
    cpuinfo.write_text("flags\t\t: fpu avx512f avx512vl\n")
    assert not rehearsal.has_bfloat16(cpuinfo)
    cpuinfo.write_text("flags\t\t: fpu avx512f avx512_bf16\n")
    assert rehearsal.has_bfloat16(cpuinfo)
    cpuinfo.write_text("Features\t: fp asimd bf16\n")
    assert rehearsal.has_bfloat16(cpuinfo)
