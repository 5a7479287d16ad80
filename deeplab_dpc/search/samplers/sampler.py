"""The interface of a sampler, which observes scores in the order of the candidates and draws the next one; its
construction, and the moves that samplers share: a uniform draw, and a small change of a cell.
"""

import dataclasses
import random
from collections.abc import Callable
from typing import Protocol

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.config.samplers import sampler_maker
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.scored import ProxyScore

MAX_ATTEMPTS = 1000
ATTEMPTS_PER_CHANGE = 100  # after this many neighbours that are not admitted, one more decision is changed
# In a space of N cells, 20 N uniform draws miss a cell with probability exp(-20); more than 20,000 would take seconds.
DRAWS_PER_CELL = 20
MAX_UNIFORM_ATTEMPTS = 20_000


class SpaceExhaustedError(UserError):
    """The error of a space without cells left to draw."""


@dataclasses.dataclass(frozen=True)
class Draw:
    """A drawn cell.

    Attributes:
      how: kind of the draw: 'uniform', 'neighbour', 'mutation', 'tpe', 'nsga2' or 'exhaustive'.
    """

    cell: Cell
    how: str


class Sampler(Protocol):
    """A sampler of candidates.

    Every worker has its own sampler, which observes the same scores in the same order, and so draws the same cells: a
    draw must depend only on the observations, the number and the given random numbers. Draws that another worker made
    are not repeated here, so that no state may be kept between draws.
    """

    def observe(self, number: int, cell: Cell, score: ProxyScore) -> None:
        """Adds a score; `number` counts all cells in their order, warm starts first, and `cell` is in the space."""

    def draw(self, number: int, rng: random.Random, admits: Callable[[Cell], bool]) -> Draw:
        """Draws the cell with that number.

        Args:
          number: number of the cell, as in `observe`.
          rng: random numbers, seeded for this number.
          admits: function that returns whether a cell is new (by its canonical form) and satisfies the constraints.

        Raises:
          SpaceExhaustedError: if no admitted cell was found.
        """
        ...


def make_sampler(config: SearchConfig, space: SearchSpace, multiply_adds: Callable[[Cell], int]) -> Sampler:
    """Returns a new sampler without observations.

    Args:
      config: configuration of the search.
      space: space of the candidates.
      multiply_adds: function that returns the multiply-adds of a cell on the features on which it is scored.

    Raises:
      UserError: if the sampler cannot search this space, or cannot do so with these flags.
    """
    sampler: Sampler = sampler_maker(config.sampler)(config, space, multiply_adds)
    return sampler


def first_admitted(
    propose: Callable[[int], Cell], admits: Callable[[Cell], bool], attempts: int = MAX_ATTEMPTS
) -> Cell | None:
    """Returns the first admitted proposal within the number of attempts; `propose` takes the number of the attempt."""
    for attempt in range(attempts):
        cell = propose(attempt)
        if admits(cell):
            return cell
    return None


def exhausted(space_size: int, attempts: int = MAX_ATTEMPTS) -> SpaceExhaustedError:
    """Returns the error for draws of which none was admitted."""
    return SpaceExhaustedError(
        f"No new cell was found in {attempts} draws from a space of {space_size}: nearly all are tried, or few "
        "are within --max_params, --max_madds, --min_receptive_field and --max_receptive_field."
    )


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
