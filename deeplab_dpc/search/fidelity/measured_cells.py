"""The cells of a measurement: those of a reduced search space, or cells of every kind.

The reduced search space has all combinations of ASPP's parallel branches (arXiv:1809.04184, Sec. 4.1, footnote 2).
Cells of every kind measure how well the proxy ranks the cells that a search scores.
"""

import itertools
import random

from deeplab_dpc.arch.cell import Branch, Cell
from deeplab_dpc.arch.library import load_cells, shipped_cells
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.samplers.constraints import Constraints
from deeplab_dpc.search.samplers.sampler import SpaceExhaustedError, admitted_neighbour, draw_uniformly

JOINT = "+"  # between the branches in a name


def aspp_subsets() -> dict[str, Cell]:
    """Returns the 2^5 - 1 = 31 cells by name, such as '1x1+6+18+pool', those with the fewest branches first; the last
    is ASPP.
    """
    branches = shipped_cells()["aspp"].branches
    return {
        JOINT.join(map(_label, chosen)): Cell(chosen)
        for size in range(1, len(branches) + 1)
        for chosen in itertools.combinations(branches, size)
    }


def _label(branch: Branch) -> str:
    """Returns '1x1', the rate of an atrous convolution, or 'pool'."""
    rates = branch.operation.tap_rates
    return branch.operation.summary().partition("@")[0] if rates is None else str(rates[0])


def mixed_cells(config: SearchConfig, constraints: Constraints, count: int) -> dict[str, Cell]:
    """Returns the warm starts of a search, then uniform draws of its space and neighbours of its warm starts in turn.

    All cells differ in their canonical forms. The first cells for a larger count are those for a smaller one.

    Args:
      config: configuration of the search, with its space, its warm starts and the seed of the draws.
      constraints: constraints that the draws satisfy; the warm starts need not.
      count: number of cells, including the warm starts.

    Returns:
      The cells by name, such as 'aspp', 'uniform 1' and 'neighbour 1'.

    Raises:
      UserError: if the space has too few cells.
    """
    space = config.space
    given = load_cells(config.warm_starts, "warm_starts")
    parents = [cell for _, cell in given if cell in space]
    rng = random.Random(config.seed)
    cells: dict[str, Cell] = {}
    known: set[str] = set()

    def admits(cell: Cell) -> bool:
        return constraints.admits(cell) and cell.digest() not in known

    def add(name: str, cell: Cell) -> None:
        if cell.digest() not in known and len(cells) < count:
            known.add(cell.digest())
            cells[name] = cell

    for name, cell in given:
        add(name, cell)
    try:
        for number in itertools.count(1):
            if len(cells) >= count:
                return cells
            add(f"uniform {number}", draw_uniformly(space, rng, admits).cell)
            neighbour = admitted_neighbour(space, rng, lambda: rng.choice(parents), admits) if parents else None
            if neighbour is not None:
                add(f"neighbour {number}", neighbour)
    except SpaceExhaustedError as error:
        raise UserError(f"--fidelity_mixed={count} exceeds the number of cells found, {len(cells)}: {error}") from error
    return cells
