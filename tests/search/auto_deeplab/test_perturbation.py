"""Choice of a cell by what the supernet loses."""

import random

import numpy as np
import pytest

from deeplab_dpc.arch.genotype import OPERATORS, Atrous, Block, Edge, Separable, Skip, Zero
from deeplab_dpc.search.auto_deeplab.decoding import decode_cell, operator_probabilities
from deeplab_dpc.search.auto_deeplab.perturbation import choose

SEP3, ATR5, SKIP, ZERO = (OPERATORS.index(operator) for operator in (Separable(3), Atrous(5), Skip(), Zero()))
# What an operator is worth per unit of probability, on each of the 5 edges of 2 blocks.
WORTH = np.zeros((5, 8))
WORTH[:, SEP3] = [0.9, 0.1, 0.2, 0.5, 0.6]
WORTH[:, ATR5] = [0.1, 0.8, 0.1, 0.7, 0.1]


def misleading():
    """Alphas that favour skip everywhere, most on the first states, though it is worth nothing."""
    alphas = np.zeros((5, 8), "float32")
    alphas[:, SKIP] = [3, 3, 3, 2, 1]
    return operator_probabilities(alphas)


def worth(mixture):
    return float((WORTH * mixture).sum())


def nothing(mixture):
    """Tunes nothing."""


def test_what_is_missed_most_is_chosen_where_alphas_mislead():
    assert decode_cell(misleading()) == (Block(Edge(0, Skip()), Edge(1, Skip())),) * 2
    assert choose(misleading(), worth, nothing, random.Random(0)) == (
        Block(Edge(0, Separable(3)), Edge(1, Atrous(5))),
        Block(Edge(1, Atrous(5)), Edge(2, Separable(3))),  # worth 0.7 and 0.6; state 0 is worth 0.2
    )


@pytest.mark.parametrize("seed", range(4))
def test_order_of_edges_does_not_matter_where_they_add_up(seed):
    assert choose(misleading(), worth, nothing, random.Random(seed)) == choose(
        misleading(), worth, nothing, random.Random(9)
    )


def test_operators_that_only_work_together_are_missed_together():
    """A product: on either edge the operator is missed only while the other edge has its partner."""

    def pair(mixture):
        return float(mixture[0, SEP3] * mixture[1, ATR5])

    (block,) = choose(np.full((2, 8), 1 / 8), pair, nothing, random.Random(0))
    assert block == Block(Edge(0, Separable(3)), Edge(1, Atrous(5)))


def scored_mixtures(num_blocks, seed=0):
    """What is scored and tuned, in order, and what is chosen."""
    seen, tuned = [], []
    edges = sum(2 + block for block in range(num_blocks))
    start = operator_probabilities(np.random.default_rng(0).standard_normal((edges, 8)))

    def score(mixture):
        seen.append(mixture.copy())
        return float((mixture * np.arange(8)).sum())

    blocks = choose(start, score, lambda mixture: tuned.append(mixture.copy()), random.Random(seed))
    return start, seen, tuned, blocks


def test_masking_leaves_the_other_probabilities_as_they_are():
    start, seen, _, _ = scored_mixtures(1)
    for column, mixture in enumerate(seen[:7]):
        rows, columns = np.nonzero(mixture != start)
        assert len(rows) == 1
        assert columns.tolist() == [column]
        assert mixture[rows[0], column] == 0


def test_zero_is_never_masked_nor_chosen():
    start, seen, _, _ = scored_mixtures(1)
    assert all((mixture[:, ZERO] == start[:, ZERO]).all() for mixture in seen[:7])
    always_zero = np.full((2, 8), 0.0)
    always_zero[:, ZERO] = 1
    (block,) = choose(always_zero, lambda mixture: float(mixture[:, ZERO].sum()), nothing, random.Random(0))
    assert block == Block(Edge(0, Separable(3)), Edge(1, Separable(3)))


def test_each_decision_is_fixed_before_the_next():
    """After k operators k rows are one-hot; after all of them edges are removed."""
    _, seen, tuned, blocks = scored_mixtures(2)
    assert len(seen) == 5 * 7 + 3
    assert len(tuned) == 5  # before each decision but the first, where block 0 has nothing to decide
    for count, mixture in enumerate(tuned, start=1):
        assert ((np.sort(mixture, axis=1) == [0, 0, 0, 0, 0, 0, 0, 1]).all(axis=1)).sum() == count
    assert sorted((mixture.sum(axis=1) == 0).nonzero()[0].tolist() for mixture in seen[-3:]) == [[2], [3], [4]]
    assert len(blocks) == 2


def test_five_blocks_take_158_scores():
    _, seen, tuned, blocks = scored_mixtures(5)
    assert len(seen) == 158
    assert len(tuned) == 20 - 1 + 4
    assert len(blocks) == 5


def test_same_seed_asks_the_same_questions():
    first, again, other = (scored_mixtures(3, seed)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


def test_tuning_may_not_change_the_mixture():
    def spoil(mixture):
        mixture[:] = 0

    assert choose(misleading(), worth, spoil, random.Random(0)) == choose(
        misleading(), worth, nothing, random.Random(0)
    )


def test_equal_scores_go_to_the_more_probable_operator():
    (block,) = choose(misleading()[:2], lambda mixture: 0.5, nothing, random.Random(0))
    assert block == Block(Edge(0, Skip()), Edge(1, Skip()))


def test_decisions_are_told():
    lines = []
    choose(misleading(), worth, nothing, random.Random(0), lines.append)
    assert sorted(lines[:5]) == [
        "block 0 of H(l-1): separable_3x3",
        "block 0 of H(l-2): atrous_5x5",
        "block 1 of H(l-1): separable_3x3",
        "block 1 of H(l-2): atrous_5x5",
        "block 1 of block 0: separable_3x3",
    ]
    assert lines[5:] == ["block 1 of H(l-2) and block 1 of block 0 stay"]


def test_score_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="`score` must be finite, got nan"):
        choose(misleading(), lambda mixture: float("nan"), nothing, random.Random(0))
