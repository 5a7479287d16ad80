"""The cells and paths among which Auto-DeepLab searches (Liu et al., 2019, arXiv:1901.02985, Sec. 3 and 5.1)."""

import math
import random

from deeplab_dpc.arch.genotype import NUM_INPUTS, OPERATORS, Block, Edge, Genotype, Zero, state_name
from deeplab_dpc.arch.integers import is_integer
from deeplab_dpc.arch.trellis import random_path
from deeplab_dpc.errors import UserError

CHOOSABLE = tuple(operator for operator in OPERATORS if not isinstance(operator, Zero))


def cell_edges(num_blocks: int) -> tuple[tuple[int, int], ...]:
    """Returns (block, input state) of each edge of the relaxed cell, in the order of the alphas' rows; 20 edges for 5
    blocks.

    Raises:
      UserError: if `num_blocks` is not positive.
    """
    if not is_integer(num_blocks) or num_blocks < 1:
        raise UserError(f"`num_blocks` must be an integer >= 1, got {num_blocks!r}.")
    return tuple((block, state) for block in range(num_blocks) for state in range(NUM_INPUTS + block))


def edge_name(block: int, state: int) -> str:
    """Returns the name of an edge, such as 'block 2 of H(l-1)'."""
    return f"block {block} of {state_name(state)}"


def count_cells(num_blocks: int) -> int:
    """Returns the paper's number of cells, 5.6e14 (556,627,761,561,600) for 5 blocks.

    Each of the two inputs of block i is any of 2 + i states (both may be the same state), with any of the 8 operators,
    including zero: ((B + 1)! * 8^B)^2.
    """
    cells: int = (math.factorial(num_blocks + 1) * len(OPERATORS) ** num_blocks) ** 2
    return cells


def count_decodable_cells(num_blocks: int) -> int:
    """Returns the number of cells that decoding can produce, 7.6e11 (762,683,172,300) for 5 blocks.

    The two inputs of a block differ, their order does not matter, and no operator is zero.
    """
    pairs = math.prod(math.comb(NUM_INPUTS + block, 2) for block in range(num_blocks))
    cells: int = pairs * len(CHOOSABLE) ** (2 * num_blocks)
    return cells


def random_genotype(rng: random.Random, num_blocks: int, num_layers: int) -> Genotype:
    """Returns a genotype drawn uniformly from all that decoding can produce.

    Raises:
      UserError: if `num_blocks` or `num_layers` is not positive.
    """
    blocks = []
    for block in range(num_blocks):
        left, right = sorted(rng.sample(range(NUM_INPUTS + block), 2))
        blocks.append(Block(Edge(left, rng.choice(CHOOSABLE)), Edge(right, rng.choice(CHOOSABLE))))
    return Genotype(tuple(blocks), random_path(rng, num_layers))
