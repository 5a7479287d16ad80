"""A measurement from start to end, with trainings that take no time: shared, resumed, and never done twice."""

import collections
import dataclasses
import signal
import threading

import numpy as np
import optuna
import pytest

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.config import DataConfig, FidelityConfig, ModelConfig, SearchConfig, ServiceConfig
from deeplab_dpc.errors import Stopped, UserError
from deeplab_dpc.search import fidelity_runner
from deeplab_dpc.search.aspp_subsets import aspp_subsets
from deeplab_dpc.search.contest.trained import Trained
from deeplab_dpc.search.feature_cache import CachedSplit, FeatureCache
from deeplab_dpc.search.fidelity import SUBSET, TOP, RealScore, read_fidelity, write_rows
from deeplab_dpc.search.fidelity_runner import measure_fidelity
from deeplab_dpc.search.fidelity_trainings import SearchTrainings
from deeplab_dpc.search.identity import Worker
from deeplab_dpc.search.runner import Job
from deeplab_dpc.search.scored import ProxyScore
from deeplab_dpc.search.study import SearchStudy
from deeplab_dpc.search.work import Outcome, work_off

SEARCH = SearchConfig(num_candidates=4, num_branches=2, warm_starts=("conv1x1",), proxy_steps=10, seed=3)


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
    cache = FeatureCache(tmp_path / "features", {"backbone": {"output_stride": 16}}, ("a", "b"), 255, {"val": split})
    return Job(tmp_path, cache, SEARCH, ServiceConfig(), ModelConfig(num_classes=2))


@pytest.fixture
def storage():
    return optuna.storages.InMemoryStorage()


@pytest.fixture(autouse=True)
def without_figures(monkeypatch):
    """They take longer than all the rest, and have tests of their own."""
    monkeypatch.setattr(fidelity_runner, "write_fidelity", write_rows)


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
    """Of 31 sub-sets conv1x1 was a warm start; the two best candidates have their scores; a second seed has none."""
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
    with pytest.raises(UserError, match=r"search\.rerank_steps \(was 90000, now 7\)"):
        measure_fidelity(other, FidelityConfig(fidelity_top_k=0), storage, _Trainings(), _Watch())


def test_real_training_needs_data(job):
    with pytest.raises(UserError, match="--data_dir is required with --mode=fidelity"):
        SearchTrainings(job, _Watch())


def test_another_seed_has_another_training_and_other_runs(job, monkeypatch):
    """They are those of a contest of one round, in the same place."""
    asked = []

    def train_finalist(root, cell, seed, ladder, network, data, config, dataset, on_step):
        asked.append((root.relative_to(job.workdir).as_posix(), seed, ladder))
        return Trained(0.25, 3.04, "run", np.zeros(2))

    monkeypatch.setattr("deeplab_dpc.search.contest.training.train_finalist", train_finalist)
    config = dataclasses.replace(SEARCH, halving_rungs=2)
    with_data = dataclasses.replace(job, config=config, data=DataConfig("data"), dataset=object())
    trainings = SearchTrainings(with_data, _Watch())
    assert [trainings.for_real(aspp_subsets()["6"], seed, None) for seed in (3, 4)] == [RealScore(0.25, 3.0)] * 2
    assert asked == [("contest", 3, (90000,)), ("contest", 4, (90000,))]
