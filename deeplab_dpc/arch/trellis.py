"""The trellis of resolutions through which a network is a path (Liu et al., 2019, arXiv:1901.02985, Sec. 3.2 and 4.3).

Layer 0 is the stem at stride 4, level 0; layers 1 to L are searched. An edge leads from a level of one layer to the
same level or a neighbour of the next layer, so that a node has two edges at the border (levels 0 and 3) and three
inside. Values of edges are nested lists [L][4][3]: layer and level of the node that the edge leaves, and the direction
in which it leads.

Two counts of the paths through L = 12 layers are in use. The first layer may be at stride 4 or 8 (Sec. 3.2: "the first
layer after the stem could only be either downsampled by 4 or 8"), so that all 12 steps are free: `count_paths(12)` =
75,025. The paper prints 2.9e4 (Sec. 5.1), which is 28,657 = `count_paths(11)`: its first layer stays at stride 4, and
11 steps are free.
"""

import math
import random
from collections.abc import Sequence
from fractions import Fraction

from deeplab_dpc.arch.genotype import STRIDES, check_path
from deeplab_dpc.arch.integers import is_integer
from deeplab_dpc.errors import UserError

NUM_LEVELS = len(STRIDES)
STEM_LEVEL = 0
STEPS = (-1, 0, 1)  # changes of level from a layer to the next: to a finer, the same or a coarser stride

EdgeValues = Sequence[Sequence[Sequence[float]]]  # [L][4][3]


def reachable_levels(layer: int) -> range:
    """Returns the levels that a path can have in a layer; 0 is the stem."""
    return range(min(STEM_LEVEL + layer, NUM_LEVELS - 1) + 1)


def outgoing(level: int) -> tuple[tuple[int, int], ...]:
    """Returns (index into STEPS, target level) of each edge that leaves a node of this level, finest first."""
    return tuple((index, level + step) for index, step in enumerate(STEPS) if 0 <= level + step < NUM_LEVELS)


def count_paths(num_layers: int) -> int:
    """Returns the number of paths of `num_layers` free steps from the stem; 75,025 for 12."""
    return _counts_from(num_layers)[0][STEM_LEVEL]


def count_paths_from_first_layer(num_layers: int) -> int:
    """Returns the paper's count: the number of paths through `num_layers` layers, the first of which is at stride 4;
    28,657 for 12.
    """
    return count_paths(num_layers - 1)


def nth_path(index: int, num_layers: int) -> tuple[int, ...]:
    """Returns the path at `index` in the order of levels; index 0 is the path that stays at stride 4.

    Raises:
      UserError: if there is no such path.
    """
    counts = _counts_from(num_layers)
    if not is_integer(index) or not 0 <= index < counts[0][STEM_LEVEL]:
        raise UserError(f"`index` must be in [0, {counts[0][STEM_LEVEL]}), got {index!r}.")
    path: list[int] = []
    level = STEM_LEVEL
    for following in counts[1:]:
        for _, target in outgoing(level):
            if index < following[target]:
                level = target
                break
            index -= following[target]
        path.append(level)
    return tuple(path)


def random_path(rng: random.Random, num_layers: int) -> tuple[int, ...]:
    """Returns a path drawn uniformly from all paths, unlike a random walk through the levels."""
    return nth_path(rng.randrange(count_paths(num_layers)), num_layers)


def viterbi(log_probabilities: EdgeValues) -> tuple[int, ...]:
    """Returns the most probable path from the stem (Sec. 4.3).

    Sums are exact, so that paths tie exactly if the sums of their logarithms are equal, regardless of the order of
    addition. Of tied paths the first in the order of levels is returned: the one with the finer stride where they part.

    Args:
      log_probabilities: log probabilities of the edges, [L][4][3]; -inf for an edge that is never taken. Entries of
        edges that the trellis does not have, and of nodes that cannot be reached, are not read.

    Returns:
      The level of each layer 1..L.

    Raises:
      ValueError: if an edge is not below infinity, or every path has the probability 0.
    """
    best = _best_from(log_probabilities)
    if best[0][STEM_LEVEL] is None:
        raise ValueError("Every path has the probability 0; at least one needs edges above it.")
    path: list[int] = []
    level = STEM_LEVEL
    for layer in range(len(log_probabilities)):
        sums = {
            target: _plus(log_probabilities[layer][level][i], best[layer + 1][target]) for i, target in outgoing(level)
        }
        level = next(target for target, total in sums.items() if total is not None and total == best[layer][level])
        path.append(level)
    return tuple(path)


def path_log_probability(log_probabilities: EdgeValues, path: Sequence[int]) -> float:
    """Returns the sum over the edges of a path from the stem; -inf if one of them is never taken.

    Raises:
      UserError: if the levels are not a path through these layers.
    """
    check_path(path)
    if len(path) != len(log_probabilities):
        raise UserError(f"`path` must have {len(log_probabilities)} layers, got {len(path)}.")
    levels = (STEM_LEVEL, *path)
    steps = zip(levels, path, strict=False)
    return math.fsum(
        log_probabilities[layer][level][STEPS.index(target - level)] for layer, (level, target) in enumerate(steps)
    )


def second_best_log_probability(log_probabilities: EdgeValues) -> float:
    """Returns the log probability of the second most probable path; -inf if no other path can be taken."""
    best = _best_from(log_probabilities)
    path = viterbi(log_probabilities)
    sums = []
    before: Fraction | None = Fraction(0)
    level = STEM_LEVEL
    for layer, chosen in enumerate(path):  # the other path parts from the best one here, and is the best from there on
        edges = log_probabilities[layer][level]
        others = [_plus(edges[i], best[layer + 1][target]) for i, target in outgoing(level) if target != chosen]
        sums += [before + total for total in others if total is not None and before is not None]
        before = _plus(edges[STEPS.index(chosen - level)], before)
        level = chosen
    return float(max(sums)) if sums else -math.inf


def _counts_from(num_layers: int) -> list[list[int]]:
    """Returns, by layer 0..L and level, the number of paths from there to the last layer."""
    if not is_integer(num_layers) or num_layers < 0:
        raise UserError(f"`num_layers` must be an integer >= 0, got {num_layers!r}.")
    counts = [[1] * NUM_LEVELS]
    for _ in range(num_layers):
        counts.append([sum(counts[-1][target] for _, target in outgoing(level)) for level in range(NUM_LEVELS)])
    return counts[::-1]


def _best_from(log_probabilities: EdgeValues) -> list[list[Fraction | None]]:
    """Returns, by layer 0..L and level, the exact sum along the best path from there to the last layer; None if there
    is none.
    """
    best: list[list[Fraction | None]] = [[Fraction(0)] * NUM_LEVELS]
    for layer in range(len(log_probabilities) - 1, -1, -1):
        row: list[Fraction | None] = [None] * NUM_LEVELS
        for level in reachable_levels(layer):
            sums = [_plus(log_probabilities[layer][level][i], best[-1][target]) for i, target in outgoing(level)]
            row[level] = max((total for total in sums if total is not None), default=None)
        best.append(row)
    return best[::-1]


def _plus(log_probability: float, total: Fraction | None) -> Fraction | None:
    """Returns the exact sum; None for the logarithm of 0."""
    if not log_probability < math.inf:
        raise ValueError(f"`log_probabilities` must be numbers below infinity, got {log_probability}.")
    return None if total is None or log_probability == -math.inf else Fraction(float(log_probability)) + total
