"""The reduced search space: all combinations of ASPP's parallel branches (arXiv:1809.04184, Sec. 4.1, footnote 2)."""

import itertools

from deeplab_dpc.arch.cell import Branch, Cell
from deeplab_dpc.arch.library import shipped_cells

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
