"""A contest over a ledger, with trainings that cost nothing: who leaves when, who wins, and that nothing is redone."""

import dataclasses

import numpy as np
import optuna
import pytest
from contest_trainings import CONFIG, FINALISTS, TRUTH, fake_training, scored

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.contest.outcome import BEHIND, DIVERGED, GIVEN_UP
from deeplab_dpc.search.contest.rounds import contest_rounds, most_steps
from deeplab_dpc.search.contest.tasks import Contest
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.ledger import MAX_ATTEMPTS, Ledger

NAMES = [one.name for one in FINALISTS]


@pytest.fixture
def ledger():
    """Of an empty storage."""
    return Ledger(optuna.storages.InMemoryStorage(), "contest", Worker("host", 7, None, None, "a"), 60.0)


def _hold(ledger, finalists=FINALISTS, config=CONFIG, train=fake_training, limit=None):
    """Trains until the contest is over or `limit` trainings are done; returns the contest and what was trained."""
    contest, trained = Contest(ledger, finalists, config), []
    while not contest.is_done() and (limit is None or len(trained) < limit):
        lease = ledger.claim(contest.open_tasks())
        attributes = lease.task.attributes
        trained.append((attributes["name"].split(",")[0], attributes["seed"], attributes["ladder"][-1]))
        ledger.finish(lease, [0.0], train(attributes).to_json())
        ledger.refresh()
    return contest, trained


def test_rounds_double_their_steps_and_seeds_rise_evenly():
    rounds = contest_rounds(SearchConfig(rerank_steps=400, contest_rounds=3, contest_seeds=5))
    assert [(one.steps, one.seeds) for one in rounds] == [(100, 1), (200, 3), (400, 5)]
    assert rounds[-1].ladder == (100, 200, 400)


def test_paper_has_one_round_with_one_seed():
    config = SearchConfig(rerank_steps=90000, contest_rounds=1, contest_seeds=1)
    assert [(one.ladder, one.seeds) for one in contest_rounds(config)] == [((90000,), 1)]
    assert most_steps(config, 50) == 50 * 90000


def test_too_few_steps_for_the_rounds_are_refused():
    with pytest.raises(UserError, match="--rerank_steps=3 are too few for --contest_rounds=3"):
        SearchConfig(rerank_steps=3, contest_rounds=3)


def test_weak_finalists_leave_and_the_best_wins(ledger):
    contest, trained = _hold(ledger)
    outcome = contest.outcome()
    assert outcome.is_complete
    assert outcome.winner().scored.name == max(TRUTH, key=TRUTH.get) == "aspp"
    assert [one for one in trained if one[2] == 50] == [(name, 3, 50) for name in NAMES]
    kept = [scored.name for scored in outcome.rounds[1].entrants]
    assert "weak" not in kept
    assert trained[len(NAMES) :] == [(name, seed, 100) for seed in (3, 4) for name in kept]
    standings = outcome.standings
    assert [standing.left for standing in standings if standing.scored.name == "weak"] == [BEHIND]
    assert sum(standing.probability for standing in standings) == pytest.approx(1.0)
    assert max(standing.probability for standing in standings) == outcome.winner().probability


def test_contest_that_is_broken_off_anywhere_goes_on_with_the_same_winner(ledger):
    whole, trained = _hold(ledger)
    for limit in range(len(trained)):
        other = Ledger(optuna.storages.InMemoryStorage(), "contest", Worker("host", 7, None, None, "a"), 60.0)
        _, before = _hold(other, limit=limit)
        again, after = _hold(other)
        assert before + after == trained
        assert again.outcome().winner().scored == whole.outcome().winner().scored
    assert _hold(ledger)[1] == []


def test_who_diverges_leaves_alone_and_is_not_trained_again(ledger):
    def train(attributes):
        one = fake_training(attributes)
        diverges = attributes["name"].startswith("aspp")
        return dataclasses.replace(one, miou=0.0, samples=np.zeros(0), is_diverged=True) if diverges else one

    contest, trained = _hold(ledger, train=train)
    outcome = contest.outcome()
    assert [name for name, _, _ in trained].count("aspp") == 1
    assert outcome.winner().scored.name == "cell 1"
    assert outcome.standings[-1].scored.name == "aspp"
    assert outcome.standings[-1].left == DIVERGED


def test_contest_in_which_all_diverge_has_no_winner(ledger):
    def train(attributes):
        return dataclasses.replace(fake_training(attributes), miou=0.0, samples=np.zeros(0), is_diverged=True)

    contest, trained = _hold(ledger, train=train)
    assert len(trained) == len(FINALISTS)
    assert contest.outcome().is_complete
    assert contest.outcome().winner() is None


def test_finalist_whose_workers_die_is_left_out_and_ends_nothing(ledger, monkeypatch):
    monkeypatch.setattr(Worker, "is_gone", lambda self: self.nonce == "dying")
    for _ in range(MAX_ATTEMPTS):
        dying = Ledger(ledger._storage, "contest", Worker("host", 8, 1, "here", "dying"), 60.0)
        dying.refresh()
        task = next(one for one in Contest(dying, FINALISTS, CONFIG).open_tasks() if one.key.endswith("steps 50"))
        assert task.attributes["name"].startswith(NAMES[0])
        dying.claim([task])
        ledger.refresh()
    contest, trained = _hold(ledger)
    assert NAMES[0] not in {name for name, _, _ in trained}
    outcome = contest.outcome()
    assert outcome.rounds[0].reason(FINALISTS[0].cell.digest()) == GIVEN_UP
    assert outcome.winner().scored.name == "aspp"


def test_more_seeds_add_to_what_is_there(ledger):
    _hold(ledger)
    _, after = _hold(ledger, config=dataclasses.replace(CONFIG, contest_seeds=3))
    assert {(seed, steps) for _, seed, steps in after} == {(5, 100)}


def test_results_of_other_images_are_not_compared(ledger):
    def train(attributes):
        images = "others" if attributes["name"].startswith("weak") else "these"
        return dataclasses.replace(fake_training(attributes), images=images)

    with pytest.raises(UserError, match="evaluated on different images or labels"):
        _hold(ledger, train=train)


def test_ties_are_not_said_to_be_clear(ledger):
    def train(attributes):
        return dataclasses.replace(fake_training(attributes), miou=0.5, samples=np.full(200, 0.5))

    contest, _ = _hold(ledger, train=train)
    outcome = contest.outcome()
    assert len(outcome.rounds[1].entrants) == len(FINALISTS)
    assert outcome.winner().scored == FINALISTS[0]  # of equal ones the first
    assert outcome.winner().probability == pytest.approx(1 / len(FINALISTS), abs=0.05)
    first, second = (standing.scored.cell for standing in outcome.standings[:2])
    assert not outcome.difference(first, second).is_clear


def test_difference_is_of_the_last_round_that_both_finished(ledger):
    outcome = _hold(ledger)[0].outcome()
    cells = {one.name: one.cell for one in FINALISTS}
    assert outcome.difference(cells["aspp"], cells["weak"]).steps == 50
    both = outcome.difference(cells["aspp"], cells["cell 1"])
    assert both.steps == 100
    scores = {standing.scored.name: standing.miou for standing in outcome.standings}
    assert both.value == pytest.approx(scores["aspp"] - scores["cell 1"])
    assert both.low < both.value < both.high
    assert outcome.difference(cells["aspp"], load_cell("psp")) is None


def test_equal_cells_are_one_finalist(ledger):
    twice = [*FINALISTS, scored("again", FINALISTS[0].cell)]
    assert Contest(ledger, twice, CONFIG).finalists == FINALISTS
