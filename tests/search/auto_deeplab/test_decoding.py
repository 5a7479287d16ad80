"""From alphas and betas to a genotype."""

import math

import numpy as np
import pytest

from deeplab_dpc.arch.genotype import OPERATORS, Atrous, AveragePooling, Block, Edge, MaxPooling, Separable, Skip, Zero
from deeplab_dpc.search.auto_deeplab.decoding import (
    LARGEST_ALPHA_ENTROPY,
    decode,
    decode_cell,
    decode_path,
    edge_mask,
    edge_probabilities,
    largest_beta_entropy,
    log_edge_probabilities,
    num_skips,
    operator_probabilities,
    uncertainty,
)

COLUMN = {operator: index for index, operator in enumerate(OPERATORS)}


def mixture(*rows):
    """Probabilities [edges, 8] from a dictionary by operator for each edge; the rest of an edge is zero's."""
    values = np.zeros((len(rows), 8))
    for row, entries in zip(values, rows, strict=True):
        for operator, probability in entries.items():
            row[COLUMN[operator]] = probability
        row[COLUMN[Zero()]] += 1 - row.sum()
    return values


def test_probabilities_are_a_softmax_over_the_operators():
    alphas = np.zeros((2, 8), "float32")
    alphas[1, 3] = math.log(3)
    found = operator_probabilities(alphas)
    np.testing.assert_allclose(found[0], np.full(8, 1 / 8))
    np.testing.assert_allclose(found[1], [0.1, 0.1, 0.1, 0.3, 0.1, 0.1, 0.1, 0.1], rtol=1e-6)


def test_large_alphas_do_not_overflow():
    alphas = np.zeros((2, 8), "float32")
    alphas[0, 0], alphas[1, 1] = 1e4, -1e4
    found = operator_probabilities(alphas)
    assert found[0, 0] == 1
    np.testing.assert_allclose(found[1], [1 / 7, 0, *[1 / 7] * 6])


def test_edges_that_are_not_there_have_no_part_in_the_softmax():
    betas = np.full((3, 4, 3), 9.0, "float32")
    betas[0, 0] = [1e6, 0, math.log(3)]
    betas[2, 1] = [0, math.log(2), 0]
    found = edge_probabilities(betas)
    np.testing.assert_allclose(found[0], [[0, 0.25, 0.75], [0, 0, 0], [0, 0, 0], [0, 0, 0]], atol=1e-7)
    np.testing.assert_allclose(found[1], [[0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3], [0, 0, 0], [0, 0, 0]], atol=1e-7)
    np.testing.assert_allclose(found[2], [[0, 0.5, 0.5], [0.25, 0.5, 0.25], [1 / 3] * 3, [0, 0, 0]], atol=1e-7)


def test_coarsest_level_has_no_edge_further_down():
    found = edge_probabilities(np.zeros((4, 4, 3)))
    np.testing.assert_allclose(found[3, 3], [0.5, 0.5, 0])
    assert edge_mask(4).sum() == 2 + 5 + 8 + 10


def test_two_strongest_predecessors_are_kept_with_their_strongest_operators():
    probabilities = mixture(
        {Separable(5): 0.3, Skip(): 0.2},
        {MaxPooling(): 0.4},
        {Atrous(3): 0.2},
        {Skip(): 0.5, Separable(3): 0.4},
        {AveragePooling(): 0.3},
    )
    assert decode_cell(probabilities) == (
        Block(Edge(0, Separable(5)), Edge(1, MaxPooling())),
        Block(Edge(1, Skip()), Edge(2, AveragePooling())),
    )


def test_zero_is_neither_chosen_nor_counted_as_strength():
    """The argmax over all columns would pick zero on every edge, and keep the edges that it is strongest on."""
    probabilities = mixture({Skip(): 0.01}, {Skip(): 0.02}, {Atrous(5): 0.03}, {Atrous(5): 0.05}, {Atrous(5): 0.04})
    assert decode_cell(probabilities)[1] == Block(Edge(1, Atrous(5)), Edge(2, Atrous(5)))


def test_strength_is_of_the_largest_operator_not_of_all():
    probabilities = mixture(
        {Skip(): 0.1},
        {Skip(): 0.1},
        {Skip(): 0.3, Separable(3): 0.3, Atrous(3): 0.3},
        {Separable(5): 0.4},
        {Separable(5): 0.35},
    )
    assert decode_cell(probabilities)[1] == Block(Edge(1, Separable(5)), Edge(2, Separable(5)))


def test_each_block_reads_its_own_rows():
    """Block 2 has the rows 5 to 8; the strongest of them are of its states 1 and 3."""
    strengths = (0.2, 0.1, 0.3, 0.2, 0.25, 0.1, 0.4, 0.1, 0.5)
    blocks = decode_cell(mixture(*({Skip(): strength} for strength in strengths)))
    assert [(block.left.state, block.right.state) for block in blocks] == [(0, 1), (0, 2), (1, 3)]


def test_ties_go_to_lower_states_and_earlier_operators():
    blocks = decode_cell(np.full((9, 8), 1 / 8))
    assert blocks == (Block(Edge(0, Separable(3)), Edge(1, Separable(3))),) * 3


def test_edges_are_in_the_order_of_states_whichever_is_stronger():
    weak, strong = {Skip(): 0.1}, {Separable(3): 0.9}
    for first, second in ((weak, strong), (strong, weak)):
        (block,) = decode_cell(mixture(first, second))
        assert (block.left.state, block.right.state) == (0, 1)


def test_path_is_the_most_probable_not_the_greedy_one():
    betas = np.zeros((2, 4, 3))
    betas[0, 0, 1:] = np.log([0.55, 0.45])
    betas[1, 1] = np.log([0.05, 0.05, 0.9])
    assert decode_path(betas) == (1, 2)  # 0.405, where staying gives 0.275


def test_wrong_borders_would_lead_elsewhere():
    """Level 0 has nothing above it and level 3 nothing below, however large those values are."""
    betas = np.zeros((5, 4, 3))
    betas[:, 0, 0] = betas[:, 3, 2] = 100.0
    betas[0, 0, 2] = betas[1, 1, 2] = betas[2, 2, 2] = betas[3, 3, 1] = betas[4, 3, 1] = 5.0
    assert decode_path(betas) == (1, 2, 3, 3, 3)
    betas[0, 1] = betas[0, 2] = betas[1, 3] = 100.0  # nodes that cannot be reached
    assert decode_path(betas) == (1, 2, 3, 3, 3)


def test_untrained_betas_favour_the_border():
    """Half at a border node and a third at an inner one: equal betas stay at stride 4."""
    found = uncertainty(np.zeros((2, 8)), np.zeros((12, 4, 3)))
    assert decode_path(np.zeros((12, 4, 3))) == (0,) * 12
    assert found.path_probability == pytest.approx(0.5**12)
    assert found.runner_up_probability == pytest.approx(0.5**12)  # all the same, and down in the last layer


def test_decode_joins_cell_and_path():
    alphas, betas = np.zeros((5, 8), "float32"), np.zeros((3, 4, 3), "float32")
    alphas[4, COLUMN[Skip()]] = betas[0, 0, 2] = 5
    genotype = decode(alphas, betas)
    assert genotype.blocks[1] == Block(Edge(0, Separable(3)), Edge(2, Skip()))
    assert genotype.path == (1, 0, 0)
    assert num_skips(genotype.blocks) == 1


def test_entropies_and_skip_share_by_hand():
    alphas, betas = np.full((2, 8), -1e4), np.zeros((2, 4, 3))
    alphas[0, [0, 6]] = 0  # a half each: ln 2
    alphas[1, 6] = 0  # certain
    betas[0, 0, 1] = 1e4  # certain; the other two nodes have ln 2 and ln 3
    found = uncertainty(alphas, betas)
    assert found.alpha_entropy == pytest.approx(math.log(2) / 2)
    assert found.beta_entropy == pytest.approx(math.log(6) / 3)
    assert found.beta_entropy_share == pytest.approx(math.log(6) / math.log(12))
    assert found.skip_share == pytest.approx(0.75)
    assert found.path_probability == found.runner_up_probability == pytest.approx(0.5)


def test_nothing_decided_has_the_largest_entropies():
    found = uncertainty(np.zeros((20, 8)), np.zeros((12, 4, 3)))
    assert found.alpha_entropy == pytest.approx(LARGEST_ALPHA_ENTROPY)
    assert found.beta_entropy_share == pytest.approx(1)
    assert largest_beta_entropy(1) == pytest.approx(math.log(2))


def test_certain_path_has_no_runner_up():
    betas = np.zeros((3, 4, 3))
    betas[:, 0, 1] = 1e4
    found = uncertainty(np.zeros((2, 8)), betas)
    assert (found.path_probability, found.runner_up_probability) == (1, 0)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 7), r"alphas must be \[edges, 8\], got shape \[5, 7\]"),
        ((8,), r"alphas must be \[edges, 8\], got shape \[8\]"),
        ((0, 8), r"alphas must be \[edges, 8\], got shape \[0, 8\]"),
        ((1, 8), "2 \\+ 3 .* rows for B blocks, got 1"),
        ((6, 8), "2 \\+ 3 .* rows for B blocks, got 6"),
    ],
)
def test_alphas_of_no_cell_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        operator_probabilities(np.zeros(shape))


@pytest.mark.parametrize("shape", [(4, 3), (0, 4, 3), (2, 3, 4)])
def test_betas_of_no_trellis_are_refused(shape):
    with pytest.raises(ValueError, match=r"`betas` must be \[layers, 4, 3\], got shape"):
        log_edge_probabilities(np.zeros(shape))


def test_what_is_not_finite_is_refused_where_it_counts():
    alphas, betas = np.zeros((2, 8)), np.zeros((2, 4, 3))
    betas[0, 0, 0] = np.nan  # no edge
    assert np.isfinite(edge_probabilities(betas)).all()
    betas[0, 0, 1] = np.inf
    with pytest.raises(ValueError, match="betas are not all finite numbers: the search has diverged"):
        edge_probabilities(betas)
    alphas[0, 7] = np.nan
    with pytest.raises(ValueError, match="alphas are not all finite numbers: the search has diverged"):
        operator_probabilities(alphas)
