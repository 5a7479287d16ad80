"""The genotype at the end of a search."""

import dataclasses
import json

import numpy as np
import pytest
from fake_program import FakeProgram, FakeStreams

from deeplab_dpc.arch.genotype import AveragePooling, Genotype
from deeplab_dpc.config import AutoDeepLabConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import write_json
from deeplab_dpc.search.auto_deeplab import epoch_records
from deeplab_dpc.search.auto_deeplab.checkpoints import Standing
from deeplab_dpc.search.auto_deeplab.choice import choose_genotype, found_genotype, set_other_choice_aside
from deeplab_dpc.search.auto_deeplab.decoding import decode
from deeplab_dpc.search.auto_deeplab.plan import Plan

CONFIG = AutoDeepLabConfig(num_layers=2, num_blocks=2, search_epochs=2, architecture_start_epoch=1, search_batch_size=2)
AVERAGE = 4  # the column of average pooling


class PicksAverage(FakeProgram):
    """Predicts class 0 as far as average pooling is in the mixture of alphas, else class 1; labels are of class 0."""

    def __init__(self):
        super().__init__(num_classes=3)
        self.tuned = []

    def train_weights(self, state, images, labels, rate, mixtures=None):
        self.tuned.append((float(images.mean()), rate, np.asarray(mixtures["alphas"])))
        return super().train_weights(state, images, labels, rate)

    def confusion(self, state, images, labels, mixtures=None):
        mixed = np.asarray(mixtures["alphas"])
        np.testing.assert_allclose(np.asarray(mixtures["betas"])[0, 0], [0, 0.5, 0.5])
        right = round(1000 * mixed[:, AVERAGE].sum())
        counts = np.zeros((3, 3), np.int64)
        counts[0, :2] = right, 10_000 - right
        return counts


@pytest.fixture(autouse=True)
def reports(monkeypatch):
    """The genotypes that reports were written of."""
    written = []
    monkeypatch.setattr(epoch_records, "write_report", lambda *arguments: written.append(arguments[-1]))
    return written


@pytest.fixture
def standing() -> Standing:
    """Alphas prefer separable convolutions by far."""
    state = FakeProgram(num_classes=3).initial_state()
    alphas = np.zeros((5, 8), "float32")
    alphas[:, 0] = 3.0
    architecture = {**state["architecture"], "alphas": alphas}
    return Standing({**state, "architecture": architecture}, step=6, history=[{"epoch": 1}])


def _choose(workdir, program, standing, **changes) -> Genotype:
    plan = Plan(dataclasses.replace(CONFIG, **changes), half_size=6)
    return choose_genotype(workdir, program, FakeStreams(), plan, standing)


def test_largest_alphas_decide_by_default(tmp_path, standing, reports):
    program = FakeProgram(num_classes=3)
    genotype = _choose(tmp_path, program, standing)
    architecture = standing.state["architecture"]
    assert genotype == decode(np.asarray(architecture["alphas"]), np.asarray(architecture["betas"]))
    assert not program.rates
    assert reports == [genotype]
    assert Genotype.from_json(json.loads((tmp_path / "genotype.json").read_text())) == genotype


def test_perturbation_decides_by_what_the_supernet_loses(tmp_path, standing):
    program = PicksAverage()
    genotype = _choose(tmp_path, program, standing, operator_choice="perturbation", perturbation_tune_steps=2)
    assert {edge.operator for block in genotype.blocks for edge in block.edges} == {AveragePooling()}
    assert genotype.path == (0, 0)
    # After each of 5 edges but the first, and before the edges of the second block, which alone has more than two;
    # with the batches of half A that follow the search, at its lowest rate.
    assert [(grey, rate) for grey, rate, _ in program.tuned] == [(6.0 + i, 0.001) for i in range(10)]
    decided = [int((mixture.max(axis=1) == 1).sum()) for _, _, mixture in program.tuned]
    assert decided == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_choice_is_the_same_again(tmp_path, standing):
    changes = {"operator_choice": "perturbation", "perturbation_tune_steps": 0}
    first, again = (_choose(tmp_path / name, PicksAverage(), standing, **changes) for name in "ab")
    assert first == again


def test_genotype_of_another_choice_is_kept_aside(tmp_path, standing):
    genotype = _choose(tmp_path, FakeProgram(num_classes=3), standing)
    write_json(tmp_path / "config.json", {"auto_deeplab": CONFIG.to_json()})
    assert set_other_choice_aside(tmp_path, dataclasses.replace(CONFIG, search_save_interval_steps=7)) is None
    assert found_genotype(tmp_path) == genotype
    other = dataclasses.replace(CONFIG, operator_choice="perturbation")
    assert set_other_choice_aside(tmp_path, other) == tmp_path / "genotype_alphas.json"
    assert found_genotype(tmp_path) is None
    assert Genotype.from_json(json.loads((tmp_path / "genotype_alphas.json").read_text())) == genotype
    assert set_other_choice_aside(tmp_path, other) is None


def test_genotype_is_found_once_the_search_is_over(tmp_path, standing):
    assert found_genotype(tmp_path) is None
    genotype = _choose(tmp_path, FakeProgram(num_classes=3), standing)
    assert found_genotype(tmp_path) == genotype
    (tmp_path / "genotype.json").write_text("{")
    with pytest.raises(UserError, match="is not valid JSON"):
        found_genotype(tmp_path)
