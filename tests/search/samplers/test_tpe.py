"""The tree-structured Parzen estimator on the observations of a search."""

import random

import pytest
from optuna.trial import TrialState

from deeplab_dpc.search.samplers import tpe
from deeplab_dpc.search.samplers.tpe import TPE


def observe(sampler, space, score, count, miou):
    rng = random.Random(3)
    for number in range(count):
        cell = space.sample(rng)
        sampler.observe(number, cell, score(miou(space.encode(cell)), steps=100))


def test_draws_gather_where_the_good_cells_are(space, score, draw):
    sampler = TPE(space, full_steps=100)
    observe(sampler, space, score, 200, lambda codes: 1.0 - abs(codes[1] - 6) / 10 - abs(codes[3] - 2) / 10)
    drawn = [draw(sampler, 200, seed=seed) for seed in range(40)]
    assert {item.how for item in drawn} == {"tpe"}
    codes = [space.encode(item.cell) for item in drawn]
    assert sum(abs(code[1] - 6) <= 1 and abs(code[3] - 2) <= 1 for code in codes) > 25  # uniformly 9 of 81, so 4


def test_stopped_cells_are_pruned_trials(space, cells, score):
    sampler = TPE(space, full_steps=100)
    sampler.observe(0, cells[0], score(0.9, steps=25))
    sampler.observe(1, cells[1], score(0.2, steps=100))
    stopped, whole = sampler._view().get_trials()
    assert (stopped.state, stopped.intermediate_values) == (TrialState.PRUNED, {25: 0.9})
    assert (whole.state, whole.value) == (TrialState.COMPLETE, 0.2)


def test_draws_do_not_follow_the_high_scores_of_stopped_cells(space, score, draw):
    sampler = TPE(space, full_steps=100)
    rng = random.Random(3)
    for number in range(120):
        cell = space.sample(rng)
        stopped = space.encode(cell)[1] < 4  # operations of branch 0 that look best when they are stopped
        sampler.observe(number, cell, score(0.9 if stopped else 0.5, steps=25 if stopped else 100))
    drawn = [draw(sampler, 120, seed=seed).cell for seed in range(40)]
    assert sum(space.encode(cell)[1] < 4 for cell in drawn) < 8  # uniformly 18


def test_the_best_and_the_latest_are_shown(space, cells, score, monkeypatch):
    for name, value in (("NUM_BEST", 2), ("RECENT", 4), ("RENEWED", 3)):
        monkeypatch.setattr(tpe, name, value)
    mious = (0.1, 0.9, 0.3, 0.8, 0.2, 0.9, 0.4, 0.0, 0.5, 0.6)

    def shown(count, view_each=False):
        sampler = TPE(space, full_steps=100)
        for number, miou in enumerate(mious[:count]):
            sampler.observe(number, cells[number], score(miou))
            if view_each:
                sampler._view()
        return [trial.value for trial in sampler._view().get_trials()]

    assert shown(6) == list(mious[:6])
    assert shown(7) == [0.9, 0.3, 0.8, 0.2, 0.9, 0.4]  # the best two of the first three, then the others
    assert shown(8) == [0.9, 0.3, 0.8, 0.2, 0.9, 0.4, 0.0]
    assert shown(10) == [0.9, 0.9, 0.4, 0.0, 0.5, 0.6]
    for count in range(1, 11):
        assert shown(count) == shown(count, view_each=True)


def test_where_its_proposals_are_known_neighbours_are_drawn(space, cells, score):
    sampler = TPE(space, full_steps=100)
    for number, cell in enumerate(cells[:20]):
        sampler.observe(number, cell, score(0.5))
    asked = []

    def admits(cell):
        asked.append(cell)
        return len(asked) > tpe.NUM_PROPOSALS

    drawn = sampler.draw(20, random.Random(0), admits)
    assert drawn.how == "neighbour"
    differing = [a != b for a, b in zip(space.encode(asked[-2]), space.encode(drawn.cell), strict=True)]
    assert sum(differing) == 1  # from the last proposal


@pytest.mark.parametrize("count", [9, 10])
def test_ten_observations_start_it(space, cells, score, draw, count):
    sampler = TPE(space, full_steps=100)
    for number in range(count):
        sampler.observe(number, cells[number], score(0.1 * number))
    assert draw(sampler, count).how == ("tpe" if count == 10 else "uniform")
