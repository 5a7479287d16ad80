"""The architecture of a cell as data: small arrays with the same shapes for every cell.

A network that reads them, instead of being built from the cell, is traced and compiled once, and accepts any cell.
"""

import dataclasses
from typing import Any

import numpy as np

from deeplab_dpc.arch.cell import BACKBONE, Cell
from deeplab_dpc.arch.operations import Operation, known_operations
from deeplab_dpc.layers.operations import runtime_of

ABSENT = 0  # kind of a branch that does not exist; kind_of returns the other numbers


@dataclasses.dataclass(frozen=True)
class Capacity:
    """The limits of cells that a wiring can represent.

    Attributes:
      branches: largest number of branches.
      grid: largest side of a grid of pyramid pooling, >= 1.
    """

    branches: int
    grid: int

    def including(self, *cells: Cell) -> "Capacity":
        """Returns the capacity that also fits these cells."""
        sides = [branch.operation.grid_side for cell in cells for branch in cell.branches]
        return Capacity(max([self.branches, *(len(cell.branches) for cell in cells)]), max([self.grid, *sides]))


def kind_of(kind: type[Operation]) -> int:
    """Returns the number of a kind of operation: its index in known_operations, counted from 1."""
    return known_operations().index(kind) + 1


def wire(cell: Cell, capacity: Capacity, size: tuple[int, int], output_stride: int) -> dict[str, np.ndarray]:
    """Returns the arrays of a cell, with one row per branch; remaining rows are ABSENT.

    Args:
      cell: cell that fits the capacity.
      capacity: capacity of the network.
      size: (h, w) of the features.
      output_stride: output stride of the features; rates are multiplied by 16 / output_stride, and are at least 1.

    Returns:
      kind: int32 [branches], ABSENT or a number from kind_of.
      source: int32 [branches], 0 for the backbone, i + 1 for branch i.
      In addition the arrays of the operations (OperationRuntime.wiring), each [branches, ...].

    Raises:
      ValueError: if the cell does not fit.
    """
    if capacity.including(cell) != capacity:
        raise ValueError(f"`cell` does not fit {capacity}: {cell.summary()}.")
    wiring = {"kind": np.full(capacity.branches, ABSENT, "int32"), "source": np.zeros(capacity.branches, "int32")}
    for kind in known_operations():
        blank = runtime_of(kind).blank_wiring(capacity.grid, size)
        if repeated := wiring.keys() & blank.keys():
            raise ValueError(
                f"Two operations have an array {min(repeated)!r} in their wiring, one of them {kind.OP!r}."
            )
        wiring |= {name: np.stack([values] * capacity.branches) for name, values in blank.items()}
    for i, branch in enumerate(cell.branches):
        kind = type(branch.operation)
        wiring["kind"][i] = kind_of(kind)
        wiring["source"][i] = 0 if branch.input == BACKBONE else branch.input + 1
        own = runtime_of(kind).wiring(branch.operation, capacity.grid, size, output_stride)
        for name, values in own.items():
            wiring[name][i] = values
    return wiring


def row(wiring: dict[str, Any], branch: int) -> dict[str, Any]:
    """Returns the entries of one branch."""
    return {name: values[branch] for name, values in wiring.items()}
