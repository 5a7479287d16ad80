"""Decoding of alphas and betas into a genotype (Liu et al., 2019, arXiv:1901.02985, Sec. 4.1 and 4.3)."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from deeplab_dpc.arch.genotype import NUM_INPUTS, OPERATORS, Block, Edge, Genotype, Skip, Zero
from deeplab_dpc.arch.genotype_space import CHOOSABLE, cell_edges
from deeplab_dpc.arch.trellis import (
    NUM_LEVELS,
    STEPS,
    outgoing,
    path_log_probability,
    reachable_levels,
    second_best_log_probability,
    viterbi,
)

NOT_ZERO = [index for index, operator in enumerate(OPERATORS) if not isinstance(operator, Zero)]
SKIP = OPERATORS.index(Skip())
EDGES_PER_BLOCK = 2  # number of edges that are kept, Sec. 4.3
LARGEST_ALPHA_ENTROPY = math.log(len(OPERATORS))  # in nats


@dataclasses.dataclass(frozen=True)
class Uncertainty:
    """The uncertainty of alphas and betas.

    Attributes:
      alpha_entropy: entropy of the operators of an edge in nats, mean over the edges; ln 8 = 2.08 if nothing is
        decided.
      beta_entropy: entropy of the edges that leave a node in nats, mean over the nodes.
      beta_entropy_share: `beta_entropy` as a share of its largest possible value, in [0, 1].
      skip_share: probability of the skip operator, mean over the edges.
      path_probability: probability of the most probable path.
      runner_up_probability: probability of the second most probable path.
    """

    alpha_entropy: float
    beta_entropy: float
    beta_entropy_share: float
    skip_share: float
    path_probability: float
    runner_up_probability: float


def operator_probabilities(alphas: np.ndarray) -> np.ndarray:
    """Returns the softmax over the operators, float64 [edges, 8].

    Raises:
      ValueError: if no cell has this shape, or a value is not finite.
    """
    _num_blocks(alphas)
    probabilities: np.ndarray = np.exp(_log_softmax(alphas, np.ones(alphas.shape, bool), "alphas"))
    return probabilities


def edge_mask(num_layers: int) -> np.ndarray:
    """Returns the mask of existing betas, bool [L, 4, 3]: those of nodes that can be reached, within the levels."""
    mask = np.zeros((num_layers, NUM_LEVELS, len(STEPS)), bool)
    for layer in range(num_layers):
        for level in reachable_levels(layer):
            mask[layer, level, [index for index, _ in outgoing(level)]] = True
    return mask


def log_edge_probabilities(betas: np.ndarray) -> np.ndarray:
    """Returns the log-softmax over the edges that leave a node, float64 [L, 4, 3]; -inf where there is no edge.

    Raises:
      ValueError: if the shape is not [L, 4, 3], or the value of an edge is not finite.
    """
    if betas.ndim != 3 or betas.shape[1:] != (NUM_LEVELS, len(STEPS)) or not len(betas):
        raise ValueError(f"`betas` must be [layers, {NUM_LEVELS}, {len(STEPS)}], got shape {list(betas.shape)}.")
    return _log_softmax(betas, edge_mask(len(betas)), "betas")


def edge_probabilities(betas: np.ndarray) -> np.ndarray:
    """Returns the softmax over the edges that leave a node, float64 [L, 4, 3]; 0 where there is no edge."""
    probabilities: np.ndarray = np.exp(log_edge_probabilities(betas))
    return probabilities


def decode(alphas: np.ndarray, betas: np.ndarray) -> Genotype:
    """Returns the genotype that alphas and betas encode.

    Args:
      alphas: values before the softmax, [edges, 8].
      betas: values before the softmax, [L, 4, 3].
    """
    return Genotype(decode_cell(operator_probabilities(alphas)), decode_path(betas))


def decode_path(betas: np.ndarray) -> tuple[int, ...]:
    """Returns the most probable path; of tied paths the first in the order of levels."""
    return viterbi(log_edge_probabilities(betas).tolist())


def decode_cell(probabilities: np.ndarray) -> tuple[Block, ...]:
    """Returns the two strongest predecessors of each block, each with its strongest operator.

    The strength of a predecessor is that of its most probable operator other than zero. If predecessors tie, the lower
    states are kept, and if operators tie, the first. The left edge is the one of the lower state, so that two genotypes
    are equal if they are the same network.

    Args:
      probabilities: probabilities of the operators of each edge, [edges, 8].
    """
    choosable = probabilities[:, NOT_ZERO]
    strengths, operators = choosable.max(axis=1), choosable.argmax(axis=1)  # the first of equal operators
    blocks = []
    first = 0
    for block in range(_num_blocks(probabilities)):
        num_states = NUM_INPUTS + block
        order = np.argsort(-strengths[first : first + num_states], kind="stable")
        left, right = sorted(order[:EDGES_PER_BLOCK].tolist())
        blocks.append(
            Block(Edge(left, CHOOSABLE[operators[first + left]]), Edge(right, CHOOSABLE[operators[first + right]]))
        )
        first += num_states
    return tuple(blocks)


def num_skips(blocks: Sequence[Block]) -> int:
    """Returns the number of a cell's edges with the skip operator."""
    return sum(isinstance(edge.operator, Skip) for block in blocks for edge in block.edges)


def uncertainty(alphas: np.ndarray, betas: np.ndarray) -> Uncertainty:
    """Returns the uncertainty of raw alphas and betas."""
    operators, edges, logs = operator_probabilities(alphas), edge_probabilities(betas), log_edge_probabilities(betas)
    nodes = edge_mask(len(betas)).any(axis=2)
    beta_entropy = float(_entropies(edges)[nodes].mean())
    path = viterbi(logs.tolist())
    return Uncertainty(
        alpha_entropy=float(_entropies(operators).mean()),
        beta_entropy=beta_entropy,
        beta_entropy_share=beta_entropy / largest_beta_entropy(len(betas)),
        skip_share=float(operators[:, SKIP].mean()),
        path_probability=math.exp(path_log_probability(logs.tolist(), path)),
        runner_up_probability=math.exp(second_best_log_probability(logs.tolist())),
    )


def largest_beta_entropy(num_layers: int) -> float:
    """Returns the largest beta entropy in nats: the mean over the nodes of ln 2 at the border and ln 3 inside."""
    choices = edge_mask(num_layers).sum(axis=2)
    return float(np.log(choices[choices > 0]).mean())


def _num_blocks(values: np.ndarray) -> int:
    """Returns the number of blocks of a cell with that number of edges."""
    num_blocks = math.isqrt(2 * len(values) + 2) - 1  # 2 edges + 2 = (B + 1)(B + 2)
    if values.ndim != 2 or values.shape[1] != len(OPERATORS) or num_blocks < 1:
        raise ValueError(f"alphas must be [edges, {len(OPERATORS)}], got shape {list(values.shape)}.")
    if len(cell_edges(num_blocks)) != len(values):
        raise ValueError(f"alphas must have 2 + 3 + ... + (B + 1) rows for B blocks, got {len(values)}.")
    return num_blocks


def _log_softmax(values: np.ndarray, mask: np.ndarray, name: str) -> np.ndarray:
    if not np.isfinite(values[mask]).all():
        raise ValueError(f"The {name} are not all finite numbers: the search has diverged.")
    masked = np.where(mask, values.astype("float64"), -np.inf)
    largest = np.where(mask.any(axis=-1, keepdims=True), masked.max(axis=-1, keepdims=True), 0)
    shifted = masked - largest
    totals = np.exp(shifted).sum(axis=-1, keepdims=True)
    return shifted - np.log(np.where(totals > 0, totals, 1))


def _entropies(probabilities: np.ndarray) -> np.ndarray:
    """Returns the entropies over the last axis, in nats."""
    logs = np.log(np.where(probabilities > 0, probabilities, 1))
    entropies: np.ndarray = -(probabilities * logs).sum(axis=-1)
    return entropies
