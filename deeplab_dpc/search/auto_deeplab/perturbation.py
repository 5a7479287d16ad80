"""Choice of a cell by the supernet's loss of accuracy without its parts (Wang et al., 2021, arXiv:2108.04392).

An alpha measures how much an operator contributes to the mixture, not how well the network performs with it. Here the
quality of an operator is the drop of the supernet's score without it. Edge by edge, in random order, each operator is
masked, the one with the largest drop is fixed, and the weights are tuned before the next edge is decided (Algorithm 1,
operators). Then, block by block in random order, each of its edges is removed, and the two with the largest drop stay
(topology).

Masking is that of the published code: the operator's probability becomes 0, and the others are unchanged; they are not
scaled to a sum of 1. Zero is never chosen, as in decoding by alphas; while an edge is undecided, its share of zero
stays.
"""

import math
import random
from collections.abc import Callable, Sequence

import numpy as np

from deeplab_dpc.arch.genotype import OPERATORS, Block
from deeplab_dpc.arch.genotype_space import CHOOSABLE, cell_edges, edge_name
from deeplab_dpc.search.auto_deeplab.decoding import EDGES_PER_BLOCK, NOT_ZERO, decode_cell

Mixture = np.ndarray  # probabilities of the operators of each edge, [edges, 8]; a removed edge has zeros only

ALL_COLUMNS = range(len(OPERATORS))


def choose(
    probabilities: Mixture,
    score: Callable[[Mixture], float],
    tune: Callable[[Mixture], None],
    rng: random.Random,
    decided: Callable[[str], None] = lambda line: None,
) -> tuple[Block, ...]:
    """Returns the blocks of the cell made of the operators and edges without which the supernet scores worst.

    The result is the same for the same arguments. `score` is called for 7 mixtures per edge and one per edge of each
    block that has more than two: 158 for 5 blocks.

    Args:
      probabilities: softmax of the alphas.
      score: function that returns the supernet's score with a mixture, higher is better (a validation accuracy, or the
        negative loss).
      tune: function that trains the supernet's weights for some steps with a mixture, before each decision but the
        first.
      rng: random numbers for the order of edges and of blocks.
      decided: function called with each decision as text.

    Raises:
      ValueError: if `score` returns a value that is not finite.
    """
    edges = cell_edges(len(decode_cell(probabilities)))
    mixture = probabilities.astype("float64")
    for count, row in enumerate(rng.sample(range(len(edges)), len(edges))):
        if count:
            tune(mixture.copy())
        (place,) = _most_missed(mixture, [(row, [column]) for column in NOT_ZERO], 1, score)
        mixture[row] = 0
        mixture[row, NOT_ZERO[place]] = 1
        decided(f"{edge_name(*edges[row])}: {CHOOSABLE[place].name}")
    rows_of = {block: [row for row, edge in enumerate(edges) if edge[0] == block] for block, _ in edges}
    contested = [block for block, rows in rows_of.items() if len(rows) > EDGES_PER_BLOCK]
    for block in rng.sample(contested, len(contested)):
        tune(mixture.copy())
        rows = rows_of[block]
        kept = _most_missed(mixture, [(row, ALL_COLUMNS) for row in rows], EDGES_PER_BLOCK, score)
        removed = [row for place, row in enumerate(rows) if place not in kept]
        mixture[removed] = 0
        decided(" and ".join(edge_name(*edges[rows[place]]) for place in kept) + " stay")
    return decode_cell(mixture)


def _most_missed(
    mixture: Mixture,
    masks: Sequence[tuple[int, Sequence[int]]],
    count: int,
    score: Callable[[Mixture], float],
) -> list[int]:
    """Returns the indices of the `count` masks, each a row and columns of it, with the lowest scores of the supernet.

    Of equal scores the mask with the larger probability comes first, then the first one.
    """
    ranked = []
    for index, (row, columns) in enumerate(masks):
        masked = mixture.copy()
        masked[row, columns] = 0
        value = float(score(masked))
        if not math.isfinite(value):
            raise ValueError(f"`score` must be finite, got {value}.")
        ranked.append((value, -float(mixture[row, columns].sum()), index))
    return sorted(index for _, _, index in sorted(ranked)[:count])
