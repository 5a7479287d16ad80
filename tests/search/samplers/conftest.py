"""A small space, and scores and draws in short."""

import random

import pytest

from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.search.scored import ProxyScore

FULL = 100  # steps of a cell that was not stopped


@pytest.fixture(scope="session")
def space():
    """Returns a space of 9 operations and 3! * 9 ** 3 = 4374 encodings."""
    return SearchSpace(num_branches=3, rates=(1, 6), grids=(1, 2))


@pytest.fixture(scope="session")
def score():
    def make(miou, steps=FULL):
        return ProxyScore(miou=miou, loss=1.0, seconds=1.0, steps=steps)

    return make


@pytest.fixture(scope="session")
def draw():
    """The draw of a number where some cells are known already; `seed` tells repetitions of it apart."""

    def make(sampler, number, known=(), seed=0):
        seen = {cell.digest() for cell in known}
        return sampler.draw(number, random.Random(f"{seed}/{number}"), lambda cell: cell.digest() not in seen)

    return make


@pytest.fixture(scope="session")
def changes(space):
    """Returns the number of decisions in which two cells differ."""

    def count(cell, other):
        return sum(a != b for a, b in zip(space.encode(cell), space.encode(other), strict=True))

    return count


@pytest.fixture(scope="session")
def cells(space):
    """100 cells that are told apart by their canonical forms."""
    rng = random.Random(0)
    different = {}
    while len(different) < 100:
        cell = space.sample(rng)
        different.setdefault(cell.digest(), cell)
    return list(different.values())
