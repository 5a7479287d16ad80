"""The moves that all samplers use: a uniform draw, and a small change of a cell."""

import random
from collections.abc import Callable

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.search.samplers.sampler import MAX_ATTEMPTS, Draw, exhausted, first_admitted

ATTEMPTS_PER_CHANGE = 100  # after this many neighbours that are not admitted, one more decision is changed
# In a space of N cells, 20 N uniform draws miss a cell with probability exp(-20); more than 20,000 would take seconds.
DRAWS_PER_CELL = 20
MAX_UNIFORM_ATTEMPTS = 20_000


def draw_uniformly(space: SearchSpace, rng: random.Random, admits: Callable[[Cell], bool]) -> Draw:
    """Returns a cell drawn uniformly from the admitted ones.

    Raises:
      SpaceExhaustedError: if none was found.
    """
    attempts = max(MAX_ATTEMPTS, min(DRAWS_PER_CELL * space.size, MAX_UNIFORM_ATTEMPTS))
    cell = first_admitted(lambda attempt: space.sample(rng), admits, attempts)
    if cell is None:
        raise exhausted(space.size, attempts)
    return Draw(cell, "uniform")


def admitted_neighbour(
    space: SearchSpace, rng: random.Random, parent: Callable[[], Cell], admits: Callable[[Cell], bool]
) -> Cell | None:
    """Returns an admitted cell near its parent, or None if none was found; `parent` is called for each attempt.

    Usually one decision is changed; more only if all near cells are known or violate the constraints.
    """
    most = space.num_decisions
    if not most:
        return None
    return first_admitted(
        lambda attempt: space.neighbour(rng, parent(), min(1 + attempt // ATTEMPTS_PER_CHANGE, most)), admits
    )
