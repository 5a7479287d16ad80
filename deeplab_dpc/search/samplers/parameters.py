"""Conversion of a cell to Optuna's parameters, and back."""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, IntDistribution

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.space import SearchSpace


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Returns the distributions of each branch's input (0 is the backbone) and of the index of its operation.

    They are integers, since each categorical parameter with 81 choices would write all of them into every trial of the
    storage, which makes it five times as large. Operations with neighbouring indices mostly have neighbouring rates or
    grids.
    """
    parameters: dict[str, BaseDistribution] = {}
    for branch in range(space.num_branches):
        parameters[f"input_{branch}"] = IntDistribution(0, branch)
        parameters[f"operation_{branch}"] = IntDistribution(0, len(space.operations) - 1)
    return parameters


def params_of(space: SearchSpace, cell: Cell) -> dict[str, int]:
    """Returns the parameters of a cell.

    Raises:
      UserError: if `cell` is not in the space.
    """
    codes = space.encode(cell)
    parameters = {}
    for branch in range(space.num_branches):
        parameters[f"input_{branch}"], parameters[f"operation_{branch}"] = codes[2 * branch : 2 * branch + 2]
    return parameters


def cell_of(space: SearchSpace, params: Mapping[str, Any]) -> Cell:
    """Returns the cell of these parameters; other parameters, such as those of another use of the trial, are
    ignored.
    """
    return space.decode(
        [params[f"{kind}_{branch}"] for branch in range(space.num_branches) for kind in ("input", "operation")]
    )
