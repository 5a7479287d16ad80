"""NSGA-II on the observations of a search."""

import pytest

from deeplab_dpc.errors import UserError
from deeplab_dpc.search.samplers.nsga2 import NSGA2


def nsga2(space, cells, population_size=4):
    """Cells cost their place in `cells`."""
    return NSGA2(space, {cell: place for place, cell in enumerate(cells)}.__getitem__, population_size, full_steps=100)


def parents(sampler, cells):
    """Their places in `cells`."""
    by_codes = {sampler.space.encode(cell): place for place, cell in enumerate(cells)}
    return {by_codes[tuple(parent.params.values())] for parent in sampler._parents}


def test_draws_are_uniform_until_a_generation_is_complete(space, cells, score, draw):
    sampler = nsga2(space, cells)
    for number in range(4):
        assert draw(sampler, number).how == "uniform"
        sampler.observe(number, cells[number], score(0.1))
    assert draw(sampler, 4).how == "nsga2"


def test_parents_are_of_complete_generations_and_dominate(space, cells, score):
    sampler = nsga2(space, cells)
    for number, miou in enumerate((0.1, 0.2, 0.3, 0.0)):
        sampler.observe(number, cells[number], score(miou))
    assert parents(sampler, cells) == {0, 1, 2, 3}
    for number, miou in enumerate((0.4, 0.05, 0.05, 0.9), start=4):
        assert parents(sampler, cells) == {0, 1, 2, 3}  # a generation that is not complete is not looked at
        sampler.observe(number, cells[number], score(miou))
    # On the front: 0, 1, 2, 4 and 7, each dearer and better than the one before. With (cost / 7, mIOU / 0.8) between
    # their neighbours' as crowding distances, the ends are kept, and 1 is the most crowded of the others:
    # 2 / 7 + 0.2 / 0.8 against 3 / 7 + 0.2 / 0.8 of 2, and 5 / 7 + 0.6 / 0.8 of 4.
    assert parents(sampler, cells) == {0, 2, 4, 7}


def test_children_mix_the_parents(space, score, draw):
    ones, twos = space.decode((0, 1, 0, 1, 0, 1)), space.decode((0, 5, 1, 5, 2, 5))
    sampler = nsga2(space, [ones, twos], population_size=2)
    sampler.observe(0, ones, score(0.1))
    sampler.observe(1, twos, score(0.2))
    children = [space.encode(draw(sampler, 2, (ones, twos), seed=seed).cell) for seed in range(100)]
    pairs = list(zip(space.encode(ones), space.encode(twos), strict=True))
    inherited = [all(code in pair for code, pair in zip(child, pairs, strict=True)) for child in children]
    assert 20 < sum(inherited) < 70  # 5 decisions, each mutated with probability 1 / 5: 33, and a few to the same value
    assert {code[1] for code in children} > {1, 5}  # mutations give other operations too


def test_a_cell_that_was_stopped_early_is_no_parent(space, cells, score, draw):
    sampler = nsga2(space, cells)
    for number, steps in enumerate((25, 100, 25, 100)):
        sampler.observe(number, cells[number], score(0.9 if steps == 25 else 0.1 * number, steps=steps))
    assert parents(sampler, cells) == {1, 3}


def test_without_parents_draws_stay_uniform(space, cells, score, draw):
    sampler = nsga2(space, cells)
    for number in range(8):
        sampler.observe(number, cells[number], score(0.5, steps=25))
    assert draw(sampler, 8).how == "uniform"


def test_a_population_of_one_has_no_pairs(space, cells):
    with pytest.raises(UserError, match=r"--sampler=nsga2 needs two parents.* got --population_size=1; give 2 or more"):
        nsga2(space, cells, population_size=1)
