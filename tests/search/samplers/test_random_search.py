"""The paper's sampler and pure random search."""

from deeplab_dpc.search.samplers.random_search import RandomSearch


def test_share_of_uniform_draws(space, cells, score, draw):
    sampler = RandomSearch(space, uniform_fraction=0.3, num_best=1)
    sampler.observe(0, cells[0], score(0.5))
    hows = [draw(sampler, number, cells[:1]).how for number in range(1, 2001)]
    assert set(hows) == {"uniform", "neighbour"}
    assert abs(hows.count("uniform") - 600) < 82  # 4 standard deviations


def test_all_draws_are_uniform_before_any_score_and_with_fraction_one(space, cells, score, draw):
    assert draw(RandomSearch(space, uniform_fraction=0.0), 0).how == "uniform"
    sampler = RandomSearch(space, uniform_fraction=1.0)
    sampler.observe(0, cells[0], score(0.5))
    assert {draw(sampler, number).how for number in range(50)} == {"uniform"}


def test_neighbours_of_the_best_differ_in_one_decision(space, cells, score, draw, changes):
    sampler = RandomSearch(space, uniform_fraction=0.0, num_best=2)
    for number, miou in enumerate((0.2, 0.9, 0.1, 0.8, 0.8)):
        sampler.observe(number, cells[number], score(miou))
    parents = [cells[1], cells[3]]  # of the two with 0.8, the earlier
    drawn = [draw(sampler, number, cells[:5]).cell for number in range(5, 205)]
    nearest = [min(changes(parent, cell) for parent in parents) for cell in drawn]
    assert set(nearest) == {1}
    of_first = sum(changes(parents[0], cell) == 1 for cell in drawn)
    assert 60 < of_first < 140  # both are parents


def test_a_cell_that_was_stopped_early_is_behind_all_others(space, cells, score, draw, changes):
    sampler = RandomSearch(space, uniform_fraction=0.0, num_best=1)
    sampler.observe(0, cells[0], score(0.9, steps=25))
    sampler.observe(1, cells[1], score(0.1))
    assert changes(cells[1], draw(sampler, 2, cells[:2]).cell) == 1
