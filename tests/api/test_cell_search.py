"""A search with a function as evaluator."""

import optuna
import pytest

from deeplab_dpc import SearchSpace, UserError, search_cells
from deeplab_dpc.arch import PyramidPooling

SPACE = SearchSpace(num_branches=3, rates=(1, 6), grids=(1, 2))


def _score(cell):
    """Poolings are best; the digest makes scores distinct."""
    poolings = sum(isinstance(branch.operation, PyramidPooling) for branch in cell.branches)
    return poolings + int(cell.digest(), 16) / 16**12


def _known(cells):
    return [(one.cell.digest(), one.score, one.name, one.draw) for one in cells]


@pytest.mark.parametrize("sampler", ["paper", "uniform", "evolution", "tpe", "nsga2"])
def test_cells_come_best_first_and_each_once(sampler):
    cells = search_cells(SPACE, _score, num_candidates=12, sampler=sampler, warm_starts=["aspp"], tournament_size=2)
    assert len({one.cell.digest() for one in cells}) == len(cells) == 13
    assert [one.score for one in cells] == sorted((_score(one.cell) for one in cells), reverse=True)
    assert {one.name for one in cells} == {"aspp", *(f"cell {number}" for number in range(12))}
    assert all(one.cell in SPACE for one in cells if one.name != "aspp")


def test_exhaustive_search_ends_with_the_space():
    space = SearchSpace(num_branches=1, rates=(1,), grids=(1,))
    assert len(search_cells(space, _score, num_candidates=100, sampler="exhaustive")) == 3


def test_scores_below_zero_and_above_one_are_scores():
    cells = search_cells(SPACE, lambda cell: -100 * _score(cell), num_candidates=6, num_best=2)
    assert [one.score for one in cells] == sorted((-100 * _score(one.cell) for one in cells), reverse=True)


@pytest.mark.parametrize("form", ["location", "path", "optuna"])
def test_search_goes_on_where_it_stopped(form, tmp_path):
    path = tmp_path / "study.journal"
    optuna_storage = optuna.storages.InMemoryStorage()
    storage = {"location": f"journal:{path}", "path": path, "optuna": optuna_storage}[form]
    seen = []

    def evaluate(cell):
        seen.append(cell)
        if len(seen) == 5:
            raise KeyboardInterrupt
        return _score(cell)

    with pytest.raises(KeyboardInterrupt):
        search_cells(SPACE, evaluate, num_candidates=8, storage=storage)
    cells = search_cells(SPACE, evaluate, num_candidates=8, storage=storage)
    assert len(seen) == 9  # the one that was interrupted is scored again
    assert _known(cells) == _known(search_cells(SPACE, _score, num_candidates=8))
    more = search_cells(SPACE, evaluate, num_candidates=10, storage=storage)
    assert (len(seen), len(more)) == (11, 10)


def test_error_of_the_evaluator_comes_through_and_the_next_call_tries_again(tmp_path):
    failing = [True]

    def evaluate(cell):
        if failing.pop() if failing else False:
            raise RuntimeError("no memory")
        return _score(cell)

    storage = tmp_path / "study.journal"
    with pytest.raises(RuntimeError, match="no memory"):
        search_cells(SPACE, evaluate, num_candidates=4, storage=storage)
    assert len(search_cells(SPACE, evaluate, num_candidates=4, storage=storage)) == 4


def test_each_result_is_told():
    told = []
    cells = search_cells(SPACE, _score, num_candidates=5, on_scored=told.append)
    assert sorted(_known(told)) == sorted(_known(cells))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_candidates": -1}, "`num_candidates` must not be negative, got -1"),
        ({"sampler": "best"}, "`sampler` must be one of paper, uniform"),
        ({"storage": "study"}, "`storage='study'` is not a storage: give journal:FILE"),
        ({"warm_starts": ["nix"]}, "`warm_starts`: 'nix' is neither a cell file nor a cell that ships"),
        ({"tournament_size": 60}, "`tournament_size=60` must be at most `population_size=50`"),
        ({"study_name": ""}, "`study_name` must be printable text"),
        ({"evaluate": lambda cell: None}, "`evaluate` must return a number, got None for the cell B>"),
        ({"evaluate": lambda cell: float("nan")}, "`evaluate` must return a finite number, got nan"),
    ],
)
def test_mistakes_are_sentences_about_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        search_cells(**{"space": SPACE, "evaluate": _score, "num_candidates": 3, **arguments})


def test_another_search_in_the_storage_is_refused(tmp_path):
    storage = tmp_path / "study.journal"
    search_cells(SPACE, _score, num_candidates=2, storage=storage)
    with pytest.raises(UserError, match=r"`study_name='search'` .* search.seed \(was 0, now 1\); give the same arg"):
        search_cells(SPACE, _score, num_candidates=2, storage=storage, seed=1)
    assert len(search_cells(SPACE, _score, num_candidates=2, storage=storage, seed=1, study_name="other")) == 2
