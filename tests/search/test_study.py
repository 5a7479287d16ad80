"""The sampler and the study: repeatable draws, nothing twice, nothing lost."""

import random

import pytest

from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.proxy import ProxyScore
from deeplab_dpc.search.sampler import CellSampler, SpaceExhaustedError
from deeplab_dpc.search.study import JOURNAL, SearchStudy

SPACE = SearchSpace(num_branches=3)
CONFIG = SearchConfig(num_branches=3, num_best=2, seed=5)


def _score(cell):
    """A deterministic objective in [0, 1)."""
    return ProxyScore(int(cell.digest(), 16) % 1000 / 1000, 0.5, 1.0)


def _search(workdir, count, config=CONFIG, space=SPACE):
    """Scores cells until `count` are, and lets go of the study."""
    study = SearchStudy(workdir, space, config)
    while len(study.scored()) < count:
        candidate = study.ask()
        study.tell(candidate, _score(candidate.cell))
    scored = study.scored()
    study.close()
    return scored


def test_stopped_search_goes_on_as_if_it_had_not_been(tmp_path):
    uninterrupted = _search(tmp_path / "a", 20)
    _search(tmp_path / "b", 7)
    _search(tmp_path / "b", 8)
    assert _search(tmp_path / "b", 20) == uninterrupted
    assert len({scored.cell.digest() for scored in uninterrupted}) == 20
    assert {scored.draw for scored in uninterrupted} == {"uniform", "neighbour"}


def test_candidate_of_a_killed_process_is_scored_first(tmp_path):
    uninterrupted = _search(tmp_path / "a", 6)
    _search(tmp_path / "b", 3)
    study = SearchStudy(tmp_path / "b", SPACE, CONFIG)
    asked = study.ask()
    study.close()  # killed before the score
    again = SearchStudy(tmp_path / "b", SPACE, CONFIG)
    assert again.ask() == asked
    again.close()
    assert _search(tmp_path / "b", 6) == uninterrupted


@pytest.mark.parametrize("cut", [1, 17])
def test_journal_torn_at_its_last_line_is_repaired_and_a_copy_kept(tmp_path, cut):
    uninterrupted = _search(tmp_path / "a", 8)
    _search(tmp_path / "b", 5)
    journal = tmp_path / "b" / JOURNAL
    content = journal.read_bytes()
    journal.write_bytes(content[:-cut])
    (tmp_path / "b" / f"{JOURNAL}.lock").symlink_to("left by a killed process")
    assert _search(tmp_path / "b", 8) == uninterrupted
    assert (tmp_path / "b" / f"{JOURNAL}.torn").read_bytes() == content[:-cut]


def test_journal_damaged_in_the_middle_is_refused(tmp_path):
    _search(tmp_path, 2)
    lines = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_bytes(b"".join([*lines[:3], b"garbage\n", *lines[4:]]))
    with pytest.raises(UserError, match=r"study.journal, line 4, is damaged"):
        SearchStudy(tmp_path, SPACE, CONFIG)


def test_second_process_is_refused(tmp_path):
    study = SearchStudy(tmp_path, SPACE, CONFIG)
    with pytest.raises(UserError, match="Another search runs in --workdir="):
        SearchStudy(tmp_path, SPACE, CONFIG)
    study.close()
    SearchStudy(tmp_path, SPACE, CONFIG).close()


def test_baselines_are_scored_once_and_stay_out_of_the_search(tmp_path):
    cell = SPACE.sample(random.Random(0))
    study = SearchStudy(tmp_path, SPACE, CONFIG)
    candidate = study.ask_baseline("mine", cell)
    assert study.ask_baseline("mine", cell) == candidate
    study.tell(candidate, ProxyScore(0.9, 0.1, 2.0))
    assert study.ask_baseline("mine", cell) is None
    (scored,) = study.scored_baselines()
    assert (scored.name, scored.cell, scored.score) == ("mine", cell, ProxyScore(0.9, 0.1, 2.0))
    assert study.scored() == []
    study.close()


def test_neighbours_of_the_best_differ_from_them_in_one_decision(tmp_path):
    config = SearchConfig(num_branches=3, num_best=1, uniform_fraction=0.0, seed=1)
    scored = _search(tmp_path, 12, config)
    for i, neighbour in enumerate(scored[1:], start=1):
        best = max(scored[:i], key=lambda one: one.score.miou)
        codes = zip(SPACE.encode(best.cell), SPACE.encode(neighbour.cell), strict=True)
        assert sum(ours != theirs for ours, theirs in codes) == 1
        assert neighbour.draw == "neighbour"


def test_share_of_uniform_draws():
    sampler = CellSampler(SPACE, uniform_fraction=0.25, num_best=1, seed=0)
    from optuna.trial import TrialState, create_trial

    from deeplab_dpc.search.sampler import distributions, params_of

    trial = create_trial(
        params=params_of(SPACE, SPACE.sample(random.Random(1))),
        distributions=distributions(SPACE),
        value=0.5,
        state=TrialState.COMPLETE,
    )
    draws = [sampler._draw(random.Random(i), [trial])[1] for i in range(400)]
    assert 70 <= draws.count("uniform") <= 130


def test_exhausted_space_is_said(tmp_path):
    space = SearchSpace(num_branches=1, rates=(1,), grids=(1,))  # three cells
    config = SearchConfig(num_branches=1)
    assert len(_search(tmp_path, 3, config, space)) == 3
    study = SearchStudy(tmp_path, space, config)
    with pytest.raises(SpaceExhaustedError, match="has 3 cells, and 3 different ones are tried"):
        study.ask()
    study.close()
