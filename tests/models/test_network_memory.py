"""Memory is estimated from the sizes of layers, and compared with what the system and its limits leave."""

import resource

import numpy as np
import pytest
from tiny_network import tiny_network

from deeplab_dpc.config import InferenceConfig, TrainConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.models import memory, predictor
from deeplab_dpc.models.segmenter import build_segmenter
from deeplab_dpc.models.sliding_window import SlidingWindow
from deeplab_dpc.training import device_memory


class _Layer:
    """Halves both sides; 2 channels."""

    def compute_output_shape(self, shape):
        return (shape[0], shape[1] // 2, shape[2] // 2, 2)


class _Network:
    """Two such layers, the second inside another network."""

    class config:  # noqa: N801
        num_classes = 5

    def __init__(self, *layers):
        self.layers = layers

    def steps(self, shape):
        steps = []
        for layer in self.layers:
            steps.append((layer, shape))
            shape = (shape[0], shape[1] // 2, shape[2] // 2, 2)
        return steps


NETWORK = _Network(_Layer(), _Network(_Layer()))


def test_estimates_follow_from_what_layers_read_and_write():
    assert sorted(memory.layer_sizes(NETWORK, (8, 16))) == [(64, 16), (384, 64)]
    assert memory.inference_memory(NETWORK, (8, 16)) == round(4 * memory.INFERENCE_FACTOR * 448)
    assert memory.inference_memory(NETWORK, (8, 16), num_probabilities=1000) == 4 * memory.PROBABILITY_COPIES * 5000
    assert memory.training_memory(NETWORK, (8, 16), 3, value_bytes=2) == round(memory.TRAINING_FACTOR * 2 * 3 * 80)


@pytest.fixture
def nothing_kept(monkeypatch):
    """TensorFlow's allocator keeps no memory; what it keeps by default depends on the processor."""
    monkeypatch.setattr(memory.kernels, "kept_memory", lambda: 0)


@pytest.mark.usefixtures("nothing_kept")
def test_address_limit_counts_where_it_leaves_least(monkeypatch, tmp_path):
    (tmp_path / "statm").write_text("1000 1 1\n")
    monkeypatch.setattr(memory, "_STATM", tmp_path / "statm")
    unlimited = memory.available_memory()
    assert unlimited > 10**8
    used = 1000 * resource.getpagesize() + memory.ADDRESSES_OF_THREADS
    limit = used + round(600 * memory.ADDRESSES_PER_BYTE)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    assert memory.available_memory() == 600
    memory.require_address_space(600)
    with pytest.raises(UserError, match=r"The address limit of 0\.3 GB \(ulimit -v\) is too small for any network"):
        memory.require_address_space(601)


@pytest.mark.usefixtures("nothing_kept")
def test_control_group_counts_without_what_it_can_give_back(monkeypatch, tmp_path):
    for name, text in (("max", "5000"), ("current", "4000"), ("stat", "anon 1\ninactive_file 700\n")):
        (tmp_path / f"memory.{name}").write_text(text)
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    assert memory.available_memory() == 1700
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_memory() > 10**8


def test_image_that_does_not_fit_is_refused_by_name_and_its_windows_are_not(monkeypatch):
    network = build_segmenter(tiny_network(num_classes=3))
    whole = predictor.Predictor(network)
    windows = SlidingWindow(whole, InferenceConfig(sliding_window=(65, 65)))
    image = np.zeros((2000, 3000, 3), "uint8")
    monkeypatch.setattr(predictor, "available_memory", lambda: 10_000_000)
    message = r"not enough for a\.png of 2000 x 3000 pixels at a time: about 1\.\d GB .*, 0\.0 GB are free; --sliding_w"
    with pytest.raises(UserError, match=message):
        whole.check_size(image, "a.png")
    windows.check_size(image, "a.png")
    with pytest.raises(UserError, match=r"not enough for 40 image\(s\) of 129 x 129 pixels"):
        whole.predict_batch(np.zeros((40, 129, 129, 3), "uint8"))


def test_training_that_does_not_fit_is_refused_with_what_needs_less(monkeypatch):
    network = build_segmenter(tiny_network(num_classes=3))
    config = TrainConfig(train_batch_size=8)
    device_memory.require_memory(network, config, (65, 65))
    frozen = memory.training_memory(network, (65, 65), 8, frozen=network.backbone)
    assert 0 < frozen < memory.training_memory(network, (65, 65), 8)
    monkeypatch.setattr(device_memory, "available_memory", lambda: 1_000_000)
    with pytest.raises(
        UserError, match=r"not enough for 8 image\(s\) of 65 x 65 .* --gradient_accumulation_steps=2, a"
    ):
        device_memory.require_memory(network, config, (65, 65))


def test_a_step_needs_addresses_beside_its_memory(monkeypatch):
    """The threads of the input and compiled programs come after the check, and take addresses, not memory."""
    network, config = build_segmenter(tiny_network(num_classes=3)), TrainConfig(train_batch_size=2)
    needed = memory.training_memory(network, (33, 33), 2)
    monkeypatch.setattr(device_memory, "available_memory", lambda: memory.STEP_ADDRESSES + needed)
    monkeypatch.setattr(device_memory, "free_address_space", lambda: memory.STEP_ADDRESSES + needed)
    device_memory.require_memory(network, config, (33, 33))
    monkeypatch.setattr(device_memory, "free_address_space", lambda: memory.STEP_ADDRESSES + needed - 1)
    with pytest.raises(UserError, match="The memory .* is not enough for 2 image"):
        device_memory.require_memory(network, config, (33, 33))
    monkeypatch.setattr(device_memory, "free_address_space", lambda: None)
    device_memory.require_memory(network, config, (33, 33))
