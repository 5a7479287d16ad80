"""Choice of a cell by what the supernet loses without its parts (Wang et al., 2021, arXiv:2108.04392).

An alpha says how much an operator contributes to the mixture, not how well the network does with it. Here an operator
is as good as what the supernet loses without it: edge after edge, in random order, each operator is masked, the one
that is missed most is fixed, and the weights are tuned before the next edge is decided (Algorithm 1, operators). Then,
block after block in random order, each of its edges is removed, and the two that are missed most stay (topology).

Masking is the published code's: the operator's probability becomes 0, and the others stay as they are; they are not
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
    """Returns the blocks of the cell whose operators and edges the supernet misses most; the same for the same
    arguments.

    It scores 7 mixtures an edge and one an edge of each block that has more than two: 158 for 5 blocks.

    Args:
      probabilities: softmax of the alphas.
      score: score of the supernet with a mixture, higher is better (a validation accuracy, or the loss with a minus
        sign).
      tune: trains the supernet's weights for some steps with a mixture, before each decision but the first.
      rng: draws the order of edges and of blocks.
      decided: is told each decision in words.

    Raises:
      ValueError: if `score` gives what is not finite.
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
    """Returns the indices of the `count` masks, each a row and columns of it, with which the supernet scores least.

    Of equal scores the larger probability that is masked counts as missed more, then the first.
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
