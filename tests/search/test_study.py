"""The study of a search: what is drawn depends on the configuration alone, not on who works on it and when."""

import dataclasses

import optuna
import pytest

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.cell_formulas import cell_cost
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.scored import ProxyScore
from deeplab_dpc.search.service.given_up import given_up
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.ledger import MAX_ATTEMPTS
from deeplab_dpc.search.service.storage import open_storage
from deeplab_dpc.search.study import SearchStudy

SHAPE = (24, 31, 320)
CONFIG = SearchConfig(
    num_candidates=20, num_branches=3, warm_starts=("aspp", "conv1x1"), num_best=2, lookahead=4, seed=5, proxy_steps=9
)


def _score(cell):
    """A deterministic objective in [0, 1)."""
    return ProxyScore(int(cell.digest(), 16) % 1009 / 1009, 0.5, 1.0, steps=CONFIG.proxy_steps)


def _study(storage, config=CONFIG):
    return SearchStudy(storage, "search", config, SHAPE, Worker.current(), 60.0)


def _ask(study):
    study.ledger.refresh()
    return study.ledger.claim(study.open_tasks())


def _tell(study, lease):
    cell = Cell.from_json(lease.task.attributes["cell"])
    assert study.ledger.finish(lease, study.values(cell, _score(cell)), _score(cell).to_json())


def _work(study, count=1000):
    """Scores so many cells, or all."""
    while count and (lease := _ask(study)) is not None:
        _tell(study, lease)
        count -= 1


def _known(study):
    """Name, digest and draw of all scored cells, in their order."""
    study.ledger.refresh()
    study.is_done()
    return [(one.name, one.cell.digest(), one.draw) for one in study.warm_starts() + study.candidates()]


def _alone(config=CONFIG):
    study = _study(optuna.storages.InMemoryStorage(), config)
    _work(study)
    return _known(study)


@pytest.fixture
def storage():
    return optuna.storages.InMemoryStorage()


def test_warm_starts_come_first_and_then_each_cell_once():
    known = _alone()
    assert [name for name, _, _ in known] == ["aspp", "conv1x1", *(f"cell {number}" for number in range(20))]
    assert [draw for _, _, draw in known[:2]] == ["given", "given"]
    assert {draw for _, _, draw in known[2:]} == {"uniform", "neighbour"}
    assert len({digest for _, digest, _ in known}) == 22


def test_warm_starts_that_are_the_same_cell_are_scored_once(storage):
    study = _study(storage, dataclasses.replace(CONFIG, warm_starts=("aspp", "conv1x1", "aspp"), num_candidates=0))
    _work(study)
    assert study.total == 2
    assert [one.name for one in study.warm_starts()] == ["aspp", "conv1x1"]


def test_search_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    for count in (3, 1, 7):
        study = _study(open_storage(None, tmp_path, shared=True))
        _work(study, count)
        _ask(study)  # and it dies: a claim that nobody ends
        for lost in study.ledger._storage.get_all_trials(study.ledger.study_id):
            if lost.state == optuna.trial.TrialState.RUNNING:
                study.ledger._end(lost._trial_id, "lost")
    study = _study(open_storage(None, tmp_path, shared=True))
    _work(study)
    assert _known(study) == _alone()


def test_more_candidates_continue_the_same_search(storage):
    _work(_study(storage, dataclasses.replace(CONFIG, num_candidates=6)))
    study = _study(storage)
    assert not study.is_done()
    _work(study)
    assert study.is_done()
    assert _known(study) == _alone()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_several_workers_draw_what_one_draws(storage, order):
    workers = [_study(storage) for _ in range(3)]
    while any(leases := [(worker, _ask(worker)) for worker in workers]) and leases[0][1] is not None:
        for place in order:
            worker, lease = leases[place]
            if lease is not None:
                _tell(worker, lease)
    alone = _alone()
    assert all(_known(worker) == alone for worker in workers)


def test_no_more_than_lookahead_cells_wait_for_their_scores(storage):
    workers = [_study(storage) for _ in range(6)]
    leases = [_ask(worker) for worker in workers]
    assert [lease.task.key if lease else None for lease in leases] == ["0", "1", "2", "3", None, None]
    _tell(workers[2], leases[2])
    assert _ask(workers[4]) is None  # cell 4 is drawn from the scores of cell 0
    _tell(workers[0], leases[0])
    assert _ask(workers[4]).task.key == "4"


def test_cell_that_was_given_up_has_no_score_and_holds_nobody_up(storage):
    study, seen = _study(storage), []
    while (lease := _ask(study)) is not None:
        seen.append(lease.task.key)
        if lease.task.key == "3":
            study.ledger._end(lease.trial_id, "lost")
        else:
            _tell(study, lease)
    assert study.is_done()
    assert seen.count("3") == MAX_ATTEMPTS
    assert len(_known(study)) == 21
    assert "cell 1" not in [one.name for one in study.candidates()]
    other = _study(storage)
    assert _known(other) == _known(study)
    assert other.is_done()


def test_nsga2_is_told_multiply_adds_too(storage):
    study = _study(storage, dataclasses.replace(CONFIG, sampler="nsga2", num_candidates=1))
    _work(study)
    cell = study.warm_starts()[0].cell
    assert storage.get_study_directions(study.ledger.study_id) == [
        optuna.study.StudyDirection.MAXIMIZE,
        optuna.study.StudyDirection.MINIMIZE,
    ]
    expected = [_score(cell).miou, float(cell_cost(cell, *SHAPE).multiply_adds)]
    assert study.ledger.finished["0"].values == expected


def test_parameters_of_cells_in_the_space_are_shown_to_optuna(storage):
    study = _study(storage)
    _work(study)
    kinds = [len(study.ledger.finished[str(number)].params) for number in range(study.total)]
    assert kinds[:2] == [0, 0]  # warm starts of other sizes
    assert set(kinds[2:]) == {6}


def test_small_space_ends_the_search(storage):
    config = SearchConfig(num_branches=1, cell_rates=(1,), cell_grids=(1,), warm_starts=(), lookahead=2)
    study = _study(storage, config)
    _work(study)
    assert study.is_done()
    assert study.total == len(study.candidates()) == 3


def test_every_process_learns_where_a_small_space_ends(storage):
    config = SearchConfig(
        num_branches=1,
        cell_rates=(1,),
        cell_grids=(1,),
        warm_starts=("aspp", "conv1x1"),
        lookahead=1,
        num_candidates=24,
    )
    study, other = _study(storage, config), _study(storage, config)
    _work(study)
    other.refresh()
    assert study.is_done()
    assert other.is_done()
    assert other.total == study.total == 4  # ASPP is not in the space, the 1x1 convolution is


def test_trials_of_an_older_version_are_refused(storage):
    storage.create_new_trial(storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "search"))
    with pytest.raises(UserError, match="made by something else, or by another version"):
        _ask(_study(storage))


def test_cell_that_was_given_up_is_scored_when_it_is_tried_again(storage):
    study, running = _study(storage), _study(storage)
    while (lease := _ask(study)) is not None:
        if lease.task.key == "3":
            study.ledger._end(lease.trial_id, "lost")
        else:
            _tell(study, lease)
    running.refresh()
    assert [task.name for task in given_up(study.ledger)] == ["cell 1"]
    again = _study(storage)
    assert again.ledger.retry_given_up() == 1
    assert not again.is_done()
    _work(again)
    assert again.is_done()
    for one in (again, running, _study(storage)):  # one of them knew it as given up
        assert len(_known(one)) == 22
        assert given_up(one.ledger) == ()


def test_result_that_contradicts_its_score_is_refused(storage):
    study = _study(storage)
    lease = _ask(study)
    assert study.ledger.finish(lease, [0.25], _score(Cell.from_json(lease.task.attributes["cell"])).to_json())
    with pytest.raises(UserError, match="Trial 0 of the study is not as searches write them .*its score is both"):
        _study(storage).refresh()
