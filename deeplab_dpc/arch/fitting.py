"""Atrous rates that a feature map of a given size can train.

The outer taps of a 3x3 atrous convolution of rate r see features, not padding, at (n - r) / n of the positions along a
side of n cells. A tap that sees only padding keeps its initial weights. On a larger map it does see features, and then
the output differs from what the following layers were trained on.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from deeplab_dpc.arch.cell import BACKBONE, Branch, Cell
from deeplab_dpc.arch.operations import AtrousConv, Conv1x1, Operation, PyramidPooling

LEAST_SEEN = 0.4  # smallest share of positions at which an outer tap has to see features
HARDLY_SEEN = 0.1  # share of positions below which an outer tap keeps its initial weights
STRIDE = 16  # pixels per feature cell, the unit of rates
ASPP_RATES, ASPP_CELLS = (6, 12, 18), 21  # the published rates, and the smallest side in cells for which they are kept
ASPP_PREFIX = "aspp_"


def feature_cells(side: int, stride: int = STRIDE) -> int:
    """Returns the number of feature cells along a side of `side` pixels at an output stride."""
    return (side - 1) // stride + 1


def aligned_side(side: Any, alignment: int) -> Any:
    """Returns the smallest number of pixels alignment * k + 1 that is at least `side`, so that the corners of features
    and pixels coincide.

    Args:
      side: number of pixels, >= 1; an integer, or an integer tensor.
      alignment: coarsest stride of the network, in pixels.
    """
    return (side + alignment - 2) // alignment * alignment + 1


def rates_along(cell: Cell, axis: int) -> list[int]:
    """Returns the atrous rates of a cell along the height (0) or the width (1), in cells at output stride 16."""
    found = (branch.operation.tap_rates for branch in cell.branches)
    return [rates[axis] for rates in found if rates is not None]


def fitted_rates(rates: Sequence[int], cells: int) -> tuple[int, ...]:
    """Returns the rates whose outer taps see features at enough positions of a side of `cells`; the smallest rate if
    there is none.
    """
    return tuple(rate for rate in rates if rate <= (1 - LEAST_SEEN) * cells) or (min(rates),)


def untrained_rates(rates: Iterable[int], cells: int) -> list[int]:
    """Returns the rates whose outer taps hardly see features along a side of `cells`, in ascending order."""
    return sorted({rate for rate in rates if rate > (1 - HARDLY_SEEN) * cells})


def fitted_aspp_rates(cells: int) -> tuple[int, ...]:
    """Returns the published rates of ASPP, scaled down in proportion where a side has fewer than ASPP_CELLS cells."""
    if cells >= ASPP_CELLS:
        return ASPP_RATES
    return tuple(max(1, round(rate * cells / ASPP_CELLS)) for rate in ASPP_RATES)


def aspp_cell(rates: Iterable[int]) -> Cell:
    """Returns ASPP with the given rates: a 1x1 convolution, one atrous convolution per rate, and image pooling, in
    parallel.
    """
    atrous = (AtrousConv((rate, rate)) for rate in rates)
    operations: list[Operation] = [Conv1x1(), *atrous, PyramidPooling((1, 1))]
    return Cell(tuple(Branch(BACKBONE, operation) for operation in operations))


def aspp_name(rates: Iterable[int]) -> str:
    """Returns the name that `aspp_of_name` reads: 'aspp' for the published rates, or one such as 'aspp_3_6_9'."""
    rates = tuple(rates)
    return "aspp" if rates == ASPP_RATES else ASPP_PREFIX + "_".join(map(str, rates))


def aspp_of_name(name: str) -> Cell | None:
    """Returns the ASPP that a name such as 'aspp_3_6_9' stands for; None for other names."""
    if not re.fullmatch(rf"{ASPP_PREFIX}[1-9][0-9]{{0,2}}(_[1-9][0-9]{{0,2}}){{0,9}}", name):
        return None
    return aspp_cell(int(rate) for rate in name.removeprefix(ASPP_PREFIX).split("_"))


def name_of_aspp(cell: Cell) -> str | None:
    """Returns the name of an ASPP of any rates; None for another cell."""
    rates = rates_along(cell, 0)
    return aspp_name(rates) if rates and cell.digest() == aspp_cell(rates).digest() else None
