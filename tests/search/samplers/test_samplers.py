"""Tests that run over every sampler of the table."""

import random
import typing

import pytest

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.config.samplers import SAMPLERS, SamplerName
from deeplab_dpc.search.samplers.sampler import SpaceExhaustedError, make_sampler


def test_the_names_for_type_checkers_are_those_of_the_table():
    assert typing.get_args(SamplerName) == tuple(SAMPLERS)


def sampler_named(name, space):
    config = SearchConfig(sampler=name, population_size=8, tournament_size=3, proxy_steps=100)
    return make_sampler(config, space, lambda cell: sum(map(len, cell.summary().split())))


@pytest.fixture
def seen_scores(cells, score):
    """(number, cell, score) of 40 cells; every seventh was stopped early."""
    rng = random.Random(1)
    return [(n, cell, score(rng.random(), steps=25 if n % 7 == 6 else 100)) for n, cell in enumerate(cells[:40])]


@pytest.mark.parametrize("name", SAMPLERS)
def test_draws_are_new_cells_of_the_space_and_named(name, space, seen_scores, draw):
    sampler = sampler_named(name, space)
    for observation in seen_scores:
        sampler.observe(*observation)
    known = [cell for _, cell, _ in seen_scores]
    hows = set()
    for number in range(40, 60):
        drawn = draw(sampler, number, known)
        assert drawn.cell in space
        assert drawn.cell.digest() not in {cell.digest() for cell in known}
        known.append(drawn.cell)
        hows.add(drawn.how)
    assert hows == SAMPLERS[name].draws


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_draw_does_not_depend_on_the_draws_made_before(name, space, seen_scores, cells, draw):
    always, late = sampler_named(name, space), sampler_named(name, space)
    for number, cell, score in seen_scores:
        draw(always, number, cells[:number])  # what the other does not do
        always.observe(number, cell, score)
        late.observe(number, cell, score)
        if number % 9 == 8:
            assert draw(always, number + 1, cells[: number + 1]) == draw(late, number + 1, cells[: number + 1])


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_same_number_is_drawn_again_alike(name, space, seen_scores, draw):
    sampler = sampler_named(name, space)
    for observation in seen_scores:
        sampler.observe(*observation)
    assert draw(sampler, 40) == draw(sampler, 40)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_space_without_decisions_has_one_cell(name, score, draw):
    space = SearchSpace(num_branches=1, rates=(), grids=())
    sampler = sampler_named(name, space)
    assert draw(sampler, 0).cell == load_cell("conv1x1")
    for number in range(16):
        sampler.observe(number, load_cell("conv1x1"), score(0.5))
    with pytest.raises(SpaceExhaustedError, match="--max_params"):
        draw(sampler, 16, [load_cell("conv1x1")])
