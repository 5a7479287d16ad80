"""The interface of a sampler, which observes scores in the order of the candidates and draws the next one."""

import dataclasses
import random
from collections.abc import Callable
from typing import Protocol

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.scored import ProxyScore

MAX_ATTEMPTS = 1000


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
