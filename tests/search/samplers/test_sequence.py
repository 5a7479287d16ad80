"""The order of candidates: the same whoever draws, and however the scores come in."""

import random

import pytest

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.samplers.sampler import Draw, SpaceExhaustedError, make_sampler
from deeplab_dpc.search.samplers.sequence import DrawSequence
from deeplab_dpc.search.scored import GIVEN, ProxyScore

SPACE = SearchSpace(num_branches=3, rates=(1, 6), grids=(1, 2))
GIVEN_CELLS = [load_cell("aspp"), SPACE.decode((0, 1, 0, 2, 0, 3))]  # the first is not in the space
WANTED = 40


def score_of(cell):
    """Of a cell by itself, as with a deterministic proxy; every ninth is given up, every fifth stopped early."""
    number = int(cell.digest(), 16)
    if number % 9 == 0:
        return None
    return ProxyScore(miou=number % 1000 / 1000, loss=1.0, seconds=1.0, steps=25 if number % 5 == 0 else 100)


def sequence_of(sampler="paper", lookahead=4, seed=0, admits=lambda cell: True):
    config = SearchConfig(sampler=sampler, population_size=6, tournament_size=3, proxy_steps=100)
    sampler = make_sampler(config, SPACE, lambda cell: int(cell.digest(), 16) % 77)
    return DrawSequence(SPACE, sampler, GIVEN_CELLS, lookahead, seed, admits)


def drawn_by_one(**arguments):
    sequence, draws = sequence_of(**arguments), []
    for number in range(WANTED):
        draws.append(sequence.cell(number))
        sequence.record(number, score_of(draws[-1].cell))
    return draws


class Worker:
    """Draws and scores by what it has heard of the others, which is late and out of order."""

    def __init__(self, rng, **arguments):
        self.rng = rng
        self.sequence = sequence_of(**arguments)
        self.heard = set()

    def listen(self, draws, scores):
        news = [number for number in scores if number not in self.heard]
        self.rng.shuffle(news)
        for number in news[: self.rng.randint(0, len(news))]:
            self.heard.add(number)
            self.sequence.record(number, scores[number])
        for number in self.rng.sample(sorted(draws), self.rng.randint(0, len(draws))):
            self.sequence.know(number, draws[number])

    def take(self, draws):
        """A number that nobody has, drawn; None if there is none that this worker knows to be drawable."""
        free = [number for number in self.sequence.drawable(WANTED) if number not in draws]
        if not free:
            return None
        draws[free[0]] = self.sequence.cell(free[0])
        return free[0]


def drawn_by_many(rng, num_workers, **arguments):
    workers = [Worker(rng, **arguments) for _ in range(num_workers)]
    draws, scores, running = {}, {}, []
    while len(scores) < WANTED:
        worker = rng.choice(workers)
        if rng.random() < 0.1:  # it died, and another came
            workers[workers.index(worker)] = worker = Worker(rng, **arguments)
        worker.listen(draws, scores)
        number = worker.take(draws)
        running += [] if number is None else [number]
        if running and rng.random() < 0.6:
            finished = running.pop(rng.randrange(len(running)))
            scores[finished] = score_of(draws[finished].cell)
    return [draws[number] for number in range(WANTED)]


@pytest.mark.parametrize("lookahead", [1, 4, 8])
@pytest.mark.parametrize("sampler", ["paper", "evolution", "nsga2", "exhaustive"])
def test_draws_are_the_same_for_any_workers_and_any_order_of_scores(sampler, lookahead):
    expected = drawn_by_one(sampler=sampler, lookahead=lookahead)
    assert {draw.how for draw in expected[20:]} - {"uniform"}  # the scores matter, or the order does
    for seed, num_workers in enumerate((1, 2, 5)):
        assert drawn_by_many(random.Random(seed), num_workers, sampler=sampler, lookahead=lookahead) == expected


def test_draws_by_tpe_are_the_same_for_many_workers():
    assert drawn_by_many(random.Random(0), 3, sampler="tpe", lookahead=8) == drawn_by_one(sampler="tpe", lookahead=8)


def test_seed_and_lookahead_change_the_draws():
    draws = {tuple(drawn_by_one(lookahead=lookahead, seed=seed)) for lookahead, seed in ((1, 0), (8, 0), (8, 1))}
    assert len(draws) == 3


def test_warm_starts_come_first_and_no_cell_comes_twice():
    draws = drawn_by_one()
    assert draws[:2] == [Draw(cell, GIVEN) for cell in GIVEN_CELLS]
    assert GIVEN not in {draw.how for draw in draws[2:]}
    assert len({draw.cell.digest() for draw in draws}) == WANTED


def test_constraints_are_for_draws_and_not_for_warm_starts():
    def reads_features_once(cell):
        return [branch.input for branch in cell.branches].count(-1) == 1

    draws = drawn_by_one(admits=reads_features_once)
    assert not reads_features_once(draws[0].cell)
    assert all(reads_features_once(draw.cell) for draw in draws[2:])


class Recording:
    """A sampler that draws the space's first cells in turn and keeps what it was told."""

    def __init__(self, num_cells=1000):
        self.cells = iter([SPACE.decode((0, first, 0, 8, 1, last)) for first in range(9) for last in range(1, 4)])
        self.num_cells = num_cells
        self.events = []

    def observe(self, number, cell, score):
        self.events.append(number)

    def draw(self, number, rng, admits):
        self.events.append(f"draw {number}")
        if number >= self.num_cells:
            raise SpaceExhaustedError("No cell is left.")
        return Draw(next(self.cells), "uniform")


def test_a_draw_sees_the_scores_before_the_lookahead_and_no_others():
    sampler = Recording()
    sequence = DrawSequence(SPACE, sampler, GIVEN_CELLS, lookahead=3, seed=0)
    assert list(sequence.drawable(10)) == [0, 1, 2]
    for number in (0, 1, 2):
        sequence.cell(number)
    for number in (2, 1, 0):
        sequence.record(number, ProxyScore(0.5, 1.0, 1.0))
    assert sequence.finished == 3
    assert list(sequence.drawable(10)) == [3, 4, 5]
    sequence.cell(5)
    # Cell 3 sees cell 0, which is not in the space; cell 4 also 1, and cell 5 also 2.
    assert sampler.events == ["draw 2", "draw 3", 1, "draw 4", 2, "draw 5"]


def test_a_gap_in_the_scores_holds_draws_up():
    sequence = DrawSequence(SPACE, Recording(), GIVEN_CELLS, lookahead=3, seed=0)
    sequence.record(1, None)
    sequence.record(2, None)
    assert sequence.finished == 0
    assert list(sequence.drawable(10)) == [0, 1, 2]
    sequence.record(0, ProxyScore(0.5, 1.0, 1.0))
    assert list(sequence.drawable(10)) == [3, 4, 5]
    assert list(sequence.drawable(4)) == [3]


def test_cells_that_were_given_up_are_not_observed_and_not_drawn_again():
    sampler = Recording()
    sequence = DrawSequence(SPACE, sampler, [], lookahead=1, seed=0)
    for number in range(3):
        sequence.cell(number)
        sequence.record(number, None if number == 1 else ProxyScore(0.5, 1.0, 1.0))
    sequence.cell(3)
    assert sampler.events == ["draw 0", 0, "draw 1", "draw 2", 2, "draw 3"]


def test_what_another_worker_drew_is_not_drawn_again():
    sampler = Recording()
    sequence = DrawSequence(SPACE, sampler, [], lookahead=2, seed=0)
    theirs = Draw(SPACE.decode((0, 8, 0, 8, 0, 8)), "neighbour")
    sequence.know(0, theirs)
    assert sequence.cell(0) == theirs
    sequence.cell(1)
    assert sampler.events == ["draw 1"]


def test_an_exhausted_space_ends_the_search():
    sampler = Recording(num_cells=5)
    sequence = DrawSequence(SPACE, sampler, GIVEN_CELLS, lookahead=8, seed=0)
    assert sequence.limit(40) == 40
    assert sequence.cell(7) is None
    assert sequence.limit(40) == 5
    assert list(sequence.drawable(40)) == [0, 1, 2, 3, 4]
    assert sequence.cell(4) is not None
    sequence.cell(7)
    assert sampler.events.count("draw 5") == 1  # it is not tried again


def test_every_cell_of_a_small_space_is_found_by_random_search():
    space = SearchSpace(num_branches=2, rates=(1,), grids=())  # 7 different cells
    sampler = make_sampler(SearchConfig(sampler="paper"), space, lambda cell: 0)
    sequence = DrawSequence(space, sampler, [], lookahead=1, seed=0)
    number = 0
    while (draw := sequence.cell(number)) is not None:
        sequence.record(number, score_of(draw.cell))
        number += 1
    assert number == 7
