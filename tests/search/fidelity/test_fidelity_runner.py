"""A measurement from start to end, with trainings that take no time: shared, resumed, and never done twice."""

import collections
import dataclasses
import signal
import threading

import numpy as np
import optuna
import pytest

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.library import shipped_cells
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.config import DataConfig, FidelityConfig, ModelConfig, SearchConfig, ServiceConfig
from deeplab_dpc.config.train import InitialWeights
from deeplab_dpc.errors import Stopped, UserError
from deeplab_dpc.search.contest.trained import Trained
from deeplab_dpc.search.fidelity import fidelity_runner
from deeplab_dpc.search.fidelity.fidelity_runner import measure_fidelity, real_protocol
from deeplab_dpc.search.fidelity.measured_cells import aspp_subsets, mixed_cells
from deeplab_dpc.search.fidelity.measurement import MIXED, SUBSET, TOP, RealScore, read_fidelity, write_rows
from deeplab_dpc.search.fidelity.trainings import SearchTrainings
from deeplab_dpc.search.job import Job
from deeplab_dpc.search.proxy.feature_cache import CachedSplit, FeatureCache
from deeplab_dpc.search.samplers.constraints import Constraints
from deeplab_dpc.search.scored import ProxyScore
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.work import Outcome, work_off
from deeplab_dpc.search.study import SearchStudy

SEARCH = SearchConfig(num_candidates=4, num_branches=2, warm_starts=("conv1x1",), proxy_steps=10, seed=3)


class _Dataset:
    """Has records."""

    def fingerprint(self, split):
        return f"records of {split}"


class _Watch:
    """Takes what it is told."""

    def check(self):
        pass

    observe = finished = rejected = lambda *_: None


class _Trainings:
    """Scores by the cell's digest; stops after so many trainings."""

    def __init__(self, stop_after=None):
        self.done = collections.Counter()
        self._stop_after = stop_after

    def _train(self, kind, cell, seed):
        if self._stop_after is not None and self.done.total() == self._stop_after:
            raise Stopped(signal.SIGTERM, "all scores are kept")
        self.done[kind, cell.digest(), seed] += 1
        return _miou(cell)

    def by_proxy(self, cell, seed, lease):
        return ProxyScore(self._train("proxy", cell, seed), 1.0, 0.1, 10.0, SEARCH.proxy_steps)

    def for_real(self, cell, seed, lease):
        return RealScore(self._train("real", cell, seed), 2.0)

    def count(self, kind, seed):
        return sum(number for (one, _, at), number in self.done.items() if (one, at) == (kind, seed))


def _miou(cell):
    return int(cell.digest(), 16) % 1000 / 1000


@pytest.fixture
def job(tmp_path):
    split = CachedSplit(np.zeros((1, 5, 7, 8), "float16"), np.zeros((1, 65, 97), "uint8"))
    cache = FeatureCache(
        tmp_path / "features", {"backbone": {"output_stride": 16}}, ("a", "b"), 255, {"train": split, "val": split}
    )
    return Job(tmp_path, cache, SEARCH, ServiceConfig(), ModelConfig(num_classes=2), DataConfig("data"), _Dataset())


@pytest.fixture
def storage():
    return optuna.storages.InMemoryStorage()


@pytest.fixture(autouse=True)
def without_figures(monkeypatch):
    """They take longer than all the rest, and have tests of their own."""
    monkeypatch.setattr(fidelity_runner, "write_fidelity", lambda folder, result, others: write_rows(folder, result))


def _search(storage, config=SEARCH):
    """Scores the candidates without training them."""
    study = SearchStudy(storage, "search", config, (5, 7, 8), Worker.current(), 60.0)

    def perform(lease):
        cell = Cell.from_json(lease.task.attributes["cell"])
        score = ProxyScore(_miou(cell), 1.0, 0.1, 10.0, config.proxy_steps)
        return Outcome([score.miou], score.to_json())

    work_off(study.ledger, study.open_tasks, study.is_done, perform, _Watch())
    return study


def test_the_sub_sets_are_trained_once_by_proxy_and_for_real(job, storage):
    trainings = _Trainings()
    result = measure_fidelity(job, FidelityConfig(fidelity_top_k=0), storage, trainings, _Watch())
    assert (trainings.count("proxy", 3), trainings.count("real", 3)) == (31, 31)
    assert set(trainings.done.values()) == {1}
    assert [row.group for row in result.rows] == [SUBSET] * 31
    row = result.rows[0]
    assert (row.name, row.proxy.miou, row.real_miou) == ("1x1", _miou(row.cell), _miou(row.cell))
    assert (row.cost.parameters, row.receptive_field) == (8 * 256 + 256 * 256, (1, 1))
    assert read_fidelity(job.workdir) == result


def test_what_the_search_has_scored_is_not_scored_again(job, storage):
    """The warm start conv1x1 and the two best candidates keep their scores; a second seed has none."""
    study = _search(storage)
    trainings = _Trainings()
    config = FidelityConfig(fidelity_top_k=2, fidelity_seeds=2)
    result = measure_fidelity(job, config, storage, trainings, _Watch())
    assert (trainings.count("proxy", 3), trainings.count("proxy", 4)) == (30, 33)
    assert (trainings.count("real", 3), trainings.count("real", 4)) == (33, 33)
    best = sorted(study.candidates(), key=lambda scored: -scored.score.miou)[:2]
    assert [row.name for row in result.group(TOP)] == [scored.name for scored in best]
    assert all(len(row.proxies) == len(row.reals) == 2 for row in result.rows)


def test_a_measurement_that_was_stopped_goes_on(job, storage):
    config = FidelityConfig(fidelity_top_k=0)
    first, second, third = _Trainings(stop_after=40), _Trainings(), _Trainings()
    with pytest.raises(Stopped):
        measure_fidelity(job, config, storage, first, _Watch())
    measure_fidelity(job, config, storage, second, _Watch())
    assert (first.done.total(), second.done.total()) == (40, 22)
    assert not first.done.keys() & second.done.keys()
    assert len(measure_fidelity(job, config, storage, third, _Watch()).rows) == 31
    assert third.done.total() == 0


def test_workers_share_the_trainings(job, storage):
    config = FidelityConfig(fidelity_top_k=0)
    first, second = _Trainings(), _Trainings()
    workers = [
        threading.Thread(target=measure_fidelity, args=(job, config, storage, trainings, _Watch()))
        for trainings in (first, second)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (first.done + second.done).total() == 62
    assert not first.done.keys() & second.done.keys()
    assert len(read_fidelity(job.workdir).rows) == 31


def test_more_seeds_add_to_what_is_there(job, storage):
    measure_fidelity(job, FidelityConfig(fidelity_top_k=0), storage, _Trainings(), _Watch())
    trainings = _Trainings()
    measure_fidelity(job, FidelityConfig(fidelity_top_k=0, fidelity_seeds=2), storage, trainings, _Watch())
    assert {seed for _, _, seed in trainings.done} == {4}


def test_mixed_cells_are_warm_starts_uniform_draws_and_neighbours(job, storage):
    config = FidelityConfig(fidelity_subsets=False, fidelity_mixed=6, fidelity_top_k=0)
    result = measure_fidelity(job, config, storage, _Trainings(), _Watch())
    # conv1x1 has one branch, so that it is not in the space of two, and has no neighbours there.
    assert [row.name for row in result.rows] == ["conv1x1", *(f"uniform {number}" for number in range(1, 6))]
    assert {row.group for row in result.rows} == {MIXED}
    assert result.proxy == "10 steps of 8, rate 0.01, float32, cached features, ranked by miou"

    five = dataclasses.replace(SEARCH, num_branches=5, warm_starts=("conv1x1", "aspp"))
    constraints = Constraints((5, 7, 8))
    few, many = (mixed_cells(five, constraints, count) for count in (1, 8))
    assert list(few) == ["conv1x1"]
    assert list(many) == ["conv1x1", "aspp", *(f"{kind} {n}" for n in (1, 2, 3) for kind in ("uniform", "neighbour"))]
    space, aspp = SearchSpace(5), shipped_cells()["aspp"]
    for name, cell in many.items():
        if name.startswith("neighbour"):
            assert sum(a != b for a, b in zip(space.encode(cell), space.encode(aspp), strict=True)) == 1
    assert len({cell.digest() for cell in many.values()}) == 8


def test_a_space_without_so_many_mixed_cells_is_said():
    tiny = SearchConfig(num_branches=1, cell_rates=(1,), cell_grids=(1,), warm_starts=())
    with pytest.raises(
        UserError, match="--fidelity_mixed=9 exceeds the number of cells found, 3: No new cell was found"
    ):
        mixed_cells(tiny, Constraints((5, 7, 8)), 9)


def test_real_trainings_of_another_measurement_are_not_done_again(job, storage, tmp_path):
    """Its cells are the first six of nine; a second seed has none of them."""
    first = FidelityConfig(fidelity_subsets=False, fidelity_mixed=6, fidelity_top_k=0)
    other = measure_fidelity(job, first, storage, _Trainings(), _Watch())
    job = dataclasses.replace(
        job, workdir=tmp_path / "other", config=dataclasses.replace(SEARCH, proxy_learning_rate=0.1)
    )
    trainings = _Trainings()
    config = dataclasses.replace(first, fidelity_mixed=9, fidelity_seeds=2)
    result = measure_fidelity(job, config, optuna.storages.InMemoryStorage(), trainings, _Watch(), {"S1": other})
    assert (trainings.count("proxy", 3), trainings.count("real", 3), trainings.count("real", 4)) == (9, 3, 9)
    assert [row.reals[0] for row in result.rows[:6]] == [row.reals[0] for row in other.rows]


def test_what_makes_real_trainings_comparable(job, tmp_path):
    """Not the proxy, and not where the data and the checkpoint are."""

    def differs(**changes):
        fields = {"config": dataclasses.replace(job.config, **changes.pop("search", {}))}
        if "data" in changes:
            fields["data"] = dataclasses.replace(job.data, **changes.pop("data"))
        return real_protocol(dataclasses.replace(job, **fields, **changes)) != real_protocol(job)

    assert not differs(search={"proxy_steps": 7, "num_candidates": 9, "contest_seeds": 3, "rerank_top_k": 1})
    assert not differs(data={"data_dir": "elsewhere"})
    for name, value in (("rerank_steps", 7), ("rerank_optimizer", "momentum"), ("label_weights", (1.0, 2.0))):
        assert differs(search={name: value}), name
    assert differs(search={"rerank_precision": "bfloat16"})
    assert differs(data={"train_crop_size": (193, 193)})
    assert differs(model=ModelConfig(num_classes=2, decoder_output_stride=(4,)))
    for folder, content in (("one", b"variables"), ("copy", b"variables"), ("other", b"other variables")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.ckpt.index").write_bytes(content)
    one, copy, other = (str(tmp_path / folder / "model.ckpt") for folder in ("one", "copy", "other"))
    assert differs(initial=InitialWeights(one))
    job = dataclasses.replace(job, initial=InitialWeights(one))
    assert not differs(initial=InitialWeights(copy))
    assert not differs(search={"rerank_initial_checkpoint": copy})
    assert differs(initial=InitialWeights(other))
    assert differs(search={"rerank_initial_checkpoint": other})


def test_the_best_cells_need_a_search(job, storage):
    message = "--fidelity_top_k=2 needs a search, and the storage has none named --study_name=search"
    with pytest.raises(UserError, match=message):
        measure_fidelity(job, FidelityConfig(fidelity_top_k=2), storage, _Trainings(), _Watch())


def test_the_best_cells_need_a_finished_search(job, storage):
    _search(storage, dataclasses.replace(SEARCH, num_candidates=1))
    with pytest.raises(UserError, match="needs a finished search, and --study_name=search has scored 2 of 5 cells"):
        measure_fidelity(job, FidelityConfig(fidelity_top_k=2), storage, _Trainings(), _Watch())


def test_trainings_of_other_settings_are_not_mixed(job, storage):
    measure_fidelity(job, FidelityConfig(fidelity_top_k=0), storage, _Trainings(), _Watch())
    other = dataclasses.replace(job, config=dataclasses.replace(SEARCH, rerank_steps=7))
    with pytest.raises(UserError, match=r"search\.rerank_steps \(was 400, now 7\)"):
        measure_fidelity(other, FidelityConfig(fidelity_top_k=0), storage, _Trainings(), _Watch())


def test_real_training_needs_data(job):
    with pytest.raises(UserError, match="--data_dir is required with --mode=fidelity"):
        SearchTrainings(dataclasses.replace(job, data=None, dataset=None), _Watch())


def test_another_seed_has_another_training_and_other_runs(job, monkeypatch):
    """They are those of a contest of one round, in the same place."""
    asked = []

    def train_finalist(root, cell, seed, ladder, network, data, config, dataset, on_step):
        asked.append((root.relative_to(job.workdir).as_posix(), seed, ladder))
        return Trained(0.25, 3.04, "run", np.zeros(2))

    monkeypatch.setattr("deeplab_dpc.search.contest.finalist_training.train_finalist", train_finalist)
    config = dataclasses.replace(SEARCH, halving_rungs=2)
    with_data = dataclasses.replace(job, config=config, data=DataConfig("data"), dataset=object())
    trainings = SearchTrainings(with_data, _Watch())
    assert [trainings.for_real(aspp_subsets()["6"], seed, None) for seed in (3, 4)] == [RealScore(0.25, 3.0)] * 2
    assert asked == [("contest", 3, (400,)), ("contest", 4, (400,))]
