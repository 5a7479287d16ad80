"""Rungs, and who climbs them; by hand."""

import pytest

from deeplab_dpc.config import SearchConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.proxy.cell_evaluator import HalvingRule, climb
from deeplab_dpc.search.scored import ProxyScore

RULE = HalvingRule(SearchConfig(halving_factor=3))


def scores(*ladders):
    """Scores of cells with these mIOUs on their rungs."""
    return [ProxyScore(ladder[-1], 1.0, 1.0, rungs=tuple(enumerate(ladder))) for ladder in ladders]


def test_budgets_end_with_all_steps_and_rise_by_the_factor():
    assert SearchConfig(proxy_steps=1000, halving_rungs=3, halving_factor=4).rung_steps == (62, 250, 1000)
    assert SearchConfig(proxy_steps=1000).rung_steps == (1000,)
    with pytest.raises(UserError, match="--proxy_steps=10 are too few for --halving_rungs=3"):
        SearchConfig(proxy_steps=10, halving_rungs=3, halving_factor=4)


def test_rungs_before_the_last_cost_at_most_one_in_factor_minus_one():
    for factor in (2, 3, 4):
        *before, last = SearchConfig(proxy_steps=30000, halving_rungs=5, halving_factor=factor).rung_steps
        assert sum(before) <= last / (factor - 1)


def test_best_third_climbs():
    known = scores((0.1,), (0.2,), (0.3,), (0.4,), (0.5,), (0.6,))
    assert RULE.keep_going(known, 0, 0.55)  # one of six is better
    assert not RULE.keep_going(known, 0, 0.45)  # two are: a third
    assert RULE.keep_going(scores((0.1,), (0.2,), (0.3,), (0.4,), (0.5,), (0.6,), (0.0,)), 0, 0.45)  # two of seven


def test_all_climb_before_as_many_are_known_as_the_factor():
    assert RULE.keep_going([], 0, 0.0)
    assert RULE.keep_going(scores((0.9,), (0.8,)), 0, 0.1)
    assert not RULE.keep_going(scores((0.9,), (0.8,), (0.7,)), 0, 0.1)


def test_equal_scores_are_not_better():
    assert RULE.keep_going(scores((0.5,), (0.5,), (0.5,)), 0, 0.5)


def test_only_cells_that_reached_the_rung_count():
    known = scores((0.9,), (0.9,), (0.9,), (0.5, 0.6), (0.5, 0.3), (0.5, 0.2))
    assert RULE.keep_going(known, 1, 0.7)
    assert not RULE.keep_going(known, 1, 0.4)
    assert not RULE.keep_going(known, 0, 0.7)
    assert RULE.keep_going(known[:-1], 1, 0.1)  # two reached it


def test_order_of_the_known_does_not_matter():
    known = scores((0.1,), (0.9,), (0.5,), (0.7,))
    for miou in (0.2, 0.6, 0.8):
        assert RULE.keep_going(known, 0, miou) == RULE.keep_going(known[::-1], 0, miou)


class Trainings:
    """Trainings whose mIOU is a hundredth of their steps."""

    def __init__(self, diverges_at: int | None = None):
        self.steps: list[int] = []
        self._diverges_at = diverges_at

    def __call__(self, steps: int) -> ProxyScore:
        self.steps.append(steps)
        if steps == self._diverges_at:
            return ProxyScore.of_diverged(steps - 1)
        return ProxyScore(steps / 100, 2.0, loss_sum=2.0 * steps, steps=steps)


def test_cell_climbs_until_it_is_stopped():
    train = Trainings()
    asked = []

    def keep_going(rung, steps, miou):
        asked.append((rung, steps, miou))
        return rung == 0

    score = climb((4, 16, 64), train, keep_going)
    assert train.steps == [4, 16]
    assert asked == [(0, 4, 0.04), (1, 16, 0.16)]
    assert (score.miou, score.steps, score.loss, score.loss_sum) == (0.16, 16, 2.0, 32.0)
    assert score.rungs == ((4, 0.04), (16, 0.16))


def test_nobody_is_asked_after_the_last_rung():
    score = climb((4, 16), Trainings(), lambda rung, steps, miou: rung == 0)
    assert (score.steps, len(score.rungs)) == (16, 2)
    assert climb((16,), Trainings(), lambda *rung: pytest.fail("asked")).steps == 16


def test_without_anyone_to_ask_all_rungs_are_climbed():
    train = Trainings()
    assert climb((4, 16, 64), train).steps == 64
    assert train.steps == [4, 16, 64]


def test_cell_that_diverges_climbs_no_further_and_is_behind_those_of_its_rung():
    train = Trainings(diverges_at=16)
    score = climb((4, 16, 64), train, lambda *rung: True)
    assert train.steps == [4, 16]
    assert score.rungs == ((4, 0.04), (15, 0.0))
    assert score.rank_key < climb((4, 16), Trainings()).rank_key
