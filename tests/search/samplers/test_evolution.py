"""Regularised evolution."""

from deeplab_dpc.search.samplers.evolution import RegularisedEvolution


def evolution(space, cells, score, mious, population_size=4, tournament_size=60):
    sampler = RegularisedEvolution(space, population_size, tournament_size)
    for number, (cell, miou) in enumerate(zip(cells, mious, strict=False)):
        sampler.observe(number, cell, score(miou))
    return sampler


def test_draws_are_uniform_until_the_population_is_full(space, cells, score, draw):
    assert draw(evolution(space, cells, score, (0.1, 0.2, 0.3)), 3).how == "uniform"
    assert draw(evolution(space, cells, score, (0.1, 0.2, 0.3, 0.4)), 4).how == "mutation"


def test_the_best_of_a_tournament_is_mutated_in_one_decision(space, cells, score, draw, changes):
    sampler = evolution(space, cells, score, (0.1, 0.9, 0.3, 0.2))
    for number in range(4, 54):
        assert changes(cells[1], draw(sampler, number, cells[:4]).cell) == 1


def test_the_oldest_leaves_however_good_it_is(space, cells, score, draw, changes):
    sampler = evolution(space, cells, score, (0.9, 0.1, 0.2, 0.4, 0.3))
    for number in range(5, 55):
        assert changes(cells[3], draw(sampler, number, cells[:5]).cell) == 1


def test_a_tournament_of_one_mutates_any_member(space, cells, score, draw, changes):
    sampler = evolution(space, cells, score, (0.1, 0.9, 0.3, 0.2), tournament_size=1)
    drawn = [draw(sampler, number, cells[:4]).cell for number in range(4, 204)]
    from_each = [sum(changes(cells[member], cell) == 1 for cell in drawn) for member in range(4)]
    assert all(25 < count < 80 for count in from_each)  # 50 +- 4 standard deviations


def test_a_cell_that_was_stopped_early_loses_the_tournament(space, cells, score, draw, changes):
    sampler = RegularisedEvolution(space, population_size=2, tournament_size=60)
    sampler.observe(0, cells[0], score(0.9, steps=25))
    sampler.observe(1, cells[1], score(0.1))
    assert changes(cells[1], draw(sampler, 2, cells[:2]).cell) == 1
