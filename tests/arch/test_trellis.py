"""Paths through the trellis of resolutions."""

import itertools
import math
import random
from collections import Counter
from fractions import Fraction

import pytest

from deeplab_dpc.arch.trellis import (
    count_paths,
    count_paths_from_first_layer,
    nth_path,
    outgoing,
    path_log_probability,
    random_path,
    reachable_levels,
    second_best_log_probability,
    viterbi,
)
from deeplab_dpc.errors import UserError

NEVER = -math.inf


def all_paths(num_layers):
    """In the order of levels."""
    for path in itertools.product(range(4), repeat=num_layers):
        if all(abs(a - b) <= 1 for a, b in itertools.pairwise((0, *path))):
            yield path


def exact_sum(logs, path):
    steps = itertools.pairwise((0, *path))
    values = [logs[layer][a][b - a + 1] for layer, (a, b) in enumerate(steps)]
    return NEVER if NEVER in values else sum(map(Fraction, values))


def most_probable_exhaustive(logs):
    """max keeps the first of equal paths."""
    return max(all_paths(len(logs)), key=lambda path: exact_sum(logs, path))


def random_logs(rng, num_layers, draw):
    return [[[draw(rng) for _ in range(3)] for _ in range(4)] for _ in range(num_layers)]


def test_twelve_layers_have_the_two_counts_of_the_documentation():
    assert count_paths(12) == 75_025
    assert count_paths_from_first_layer(12) == 28_657


@pytest.mark.parametrize("num_layers", range(8))
def test_count_is_that_of_all_paths_written_out(num_layers):
    assert count_paths(num_layers) == sum(1 for _ in all_paths(num_layers))


def test_count_from_the_first_layer_is_of_paths_that_begin_at_stride_4():
    assert count_paths_from_first_layer(6) == sum(path[0] == 0 for path in all_paths(6))


def test_counts_refuse_what_is_no_number_of_layers():
    with pytest.raises(UserError, match="`num_layers` must be an integer >= 0, got -1"):
        count_paths(-1)
    with pytest.raises(UserError, match=r"`num_layers` must be an integer >= 0, got 2\.0"):
        count_paths(2.0)


def test_levels_open_up_by_one_a_layer():
    assert [list(reachable_levels(layer)) for layer in range(5)] == [
        [0],
        [0, 1],
        [0, 1, 2],
        [0, 1, 2, 3],
        [0, 1, 2, 3],
    ]


def test_border_nodes_have_two_edges_and_inner_ones_three():
    assert outgoing(0) == ((1, 0), (2, 1))
    assert outgoing(1) == ((0, 0), (1, 1), (2, 2))
    assert outgoing(3) == ((0, 2), (1, 3))


def test_nth_path_counts_through_all_paths_in_order():
    assert [nth_path(index, 6) for index in range(count_paths(6))] == list(all_paths(6))


@pytest.mark.parametrize("index", [-1, 5, 1.0])
def test_nth_path_refuses_what_there_is_not(index):
    with pytest.raises(UserError, match=r"`index` must be in \[0, 5\), got"):
        nth_path(index, 2)


def test_random_paths_are_uniform():
    """2 of the 5 paths begin at stride 4; a random walk would go there half of the time."""
    rng = random.Random(0)
    counts = Counter(random_path(rng, 2) for _ in range(5_000))
    assert set(counts) == set(all_paths(2))
    assert all(abs(count - 1_000) < 120 for count in counts.values())  # 4 standard deviations of 28


@pytest.mark.parametrize("num_layers", range(1, 7))
def test_viterbi_is_exhaustive_search(num_layers):
    rng = random.Random(num_layers)
    for _ in range(10):
        logs = random_logs(rng, num_layers, lambda r: math.log(r.random()))
        assert viterbi(logs) == most_probable_exhaustive(logs)


@pytest.mark.parametrize("num_layers", range(1, 7))
def test_viterbi_takes_the_finest_of_tied_paths(num_layers):
    """Of a few values, whose sums would differ with the order of adding if they were rounded."""
    rng = random.Random(num_layers)
    values = (math.log(1 / 2), math.log(1 / 3), math.log(0.1))
    for _ in range(10):
        logs = random_logs(rng, num_layers, lambda r: r.choice(values))
        assert viterbi(logs) == most_probable_exhaustive(logs)


def test_viterbi_of_equal_values_stays_at_stride_4():
    assert viterbi([[[-0.7] * 3] * 4] * 5) == (0, 0, 0, 0, 0)


def test_tie_goes_to_the_finer_stride_where_paths_part_first():
    logs = [[[NEVER] * 3 for _ in range(4)] for _ in range(3)]
    logs[0][0] = [NEVER, -1.0, -2.0]
    logs[1][0], logs[1][1] = [NEVER, NEVER, -3.0], [-2.0, NEVER, NEVER]
    logs[2][0], logs[2][1] = [NEVER, -1.0, NEVER], [NEVER, -1.0, NEVER]
    assert viterbi(logs) == (0, 1, 1)  # -5, as (1, 0, 0)


def test_viterbi_looks_ahead():
    """The strongest edge of the stem leads where every edge is weak."""
    logs = [[[NEVER] * 3 for _ in range(4)] for _ in range(2)]
    logs[0][0] = [NEVER, math.log(0.6), math.log(0.4)]
    logs[1][0] = [NEVER, math.log(0.5), math.log(0.5)]
    logs[1][1] = [math.log(0.05), math.log(0.9), math.log(0.05)]
    assert viterbi(logs) == (1, 1)
    assert path_log_probability(logs, (1, 1)) == pytest.approx(math.log(0.36))
    assert second_best_log_probability(logs) == pytest.approx(math.log(0.30))


def test_values_of_edges_that_are_not_there_change_nothing():
    rng = random.Random(3)
    logs = random_logs(rng, 5, lambda r: math.log(r.random()))
    expected = viterbi(logs)
    for layer in range(5):
        logs[layer][0][0] = logs[layer][3][2] = 50.0
        for level in range(layer + 1, 4):
            logs[layer][level] = [math.nan] * 3
    assert viterbi(logs) == expected == most_probable_exhaustive(logs)


@pytest.mark.parametrize("num_layers", range(1, 6))
def test_second_best_is_that_of_all_paths_but_the_best(num_layers):
    rng = random.Random(num_layers)
    for draw in (lambda r: math.log(r.random()), lambda r: r.choice((-1.0, -2.0, NEVER))):
        logs = random_logs(rng, num_layers, draw)
        logs[0][0][1:] = [-1.0, -1.5]
        for layer in logs:
            layer[0][1] = -3.0  # so that there is a path
        sums = sorted((exact_sum(logs, path) for path in all_paths(num_layers)), reverse=True)
        assert second_best_log_probability(logs) == pytest.approx(float(sums[1]))
        assert path_log_probability(logs, viterbi(logs)) == pytest.approx(float(sums[0]))


def test_without_a_second_path_its_probability_is_0():
    assert second_best_log_probability([[[NEVER, -1.0, NEVER]] * 4]) == NEVER
    assert path_log_probability([[[NEVER, -1.0, NEVER]] * 4], (1,)) == NEVER


def test_viterbi_refuses_what_is_no_probability():
    with pytest.raises(ValueError, match="must be numbers below infinity, got nan"):
        viterbi([[[math.nan] * 3] * 4])
    with pytest.raises(ValueError, match="must be numbers below infinity, got inf"):
        viterbi([[[math.inf] * 3] * 4])
    with pytest.raises(ValueError, match="Every path has the probability 0"):
        viterbi([[[NEVER] * 3] * 4] * 3)


def test_probability_is_of_a_path_through_all_layers():
    with pytest.raises(UserError, match="`path` must have 3 layers, got 2"):
        path_log_probability([[[-1.0] * 3] * 4] * 3, (0, 0))
    with pytest.raises(UserError, match="`path` may change by one level a layer"):
        path_log_probability([[[-1.0] * 3] * 4] * 2, (0, 2))
