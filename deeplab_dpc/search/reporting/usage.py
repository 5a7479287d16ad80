"""The section on the operations, rates, grids and inputs of the best tenth of the cells, compared with all cells.

The share of a feature is the mean over cells of the share of their branches. Branches of a cell are not independent of
each other, so an interval counts cells, not branches; it is rather too wide than too narrow.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import assert_never

import numpy as np
from matplotlib.figure import Figure

from deeplab_dpc.arch.cell import BACKBONE, Branch, Cell
from deeplab_dpc.arch.operations import AtrousConv, Operation, PyramidPooling, known_operations
from deeplab_dpc.search import words
from deeplab_dpc.search.reporting import style
from deeplab_dpc.search.reporting.population import Population
from deeplab_dpc.search.reporting.report_page import ReportSection, Table
from deeplab_dpc.search.statistics import share_interval

LEAST_EXPECTED = 5.0  # branches expected among the best cells; with fewer, a ratio is not shown
SCALE = 4.0  # ratio with the strongest colour; its inverse has the strongest opposite colour
SMALL = 30  # number of best cells; with fewer, the results are a hint at most


@dataclasses.dataclass(frozen=True)
class PairCounts:
    """The counts of pairs (of a rate or a grid), float64 [height, width] in the order of `values`."""

    values: tuple[int, ...]
    top: np.ndarray
    everywhere: np.ndarray

    @property
    def expected(self) -> np.ndarray:
        """Returns the expected count of each pair among the best if they used it as all cells do."""
        occurrences: np.ndarray = self.everywhere * self.top.sum() / max(1.0, float(self.everywhere.sum()))
        return occurrences

    @property
    def ratio(self) -> np.ndarray:
        """Returns the ratio of the share among the best to that among all; nan if the expected count is too small."""
        enough = self.expected >= LEAST_EXPECTED
        return np.where(enough, self.top / np.where(enough, self.expected, 1), np.nan)


def usage(population: Population) -> ReportSection | None:
    """Returns the section; None without candidates."""
    if not len(population):
        return None
    n = population.num_top
    text = [
        f"The best tenth by proxy ({words.count(n, 'cell')}) beside all {len(population):,}. Shares are of a cell's "
        "branches. Neighbours of the best repeat what those have, so that part of a ratio is caused by the sampler; "
        "and features that good cells share need not be what makes them good.",
    ]
    if n < SMALL:
        text.append(f"{words.count(n, 'cell')} in the best tenth: too few to conclude anything from this section.")
    text.append(
        "Heat maps show the share among the best tenth over that among all; one that would have no ratio is left out "
        f"(fewer than {LEAST_EXPECTED:g} branches of each kind expected among the best)."
    )
    config = population.result.config
    figures = []
    for what, kind, values in (("rates", AtrousConv, config.cell_rates), ("grids", PyramidPooling, config.cell_grids)):
        counts = pair_counts(population, kind, values)
        if np.isfinite(counts.ratio).any():
            hidden = (
                f" Grey: fewer than {LEAST_EXPECTED:g} expected, too few for a ratio."
                if np.isnan(counts.ratio).any()
                else ""
            )
            caption = (
                f"{what.capitalize()}: share among the best tenth's {counts.top.sum():.0f} {_OPERATION[kind]} branches "
                f"over that among all {counts.everywhere.sum():,.0f}.{hidden}"
            )
            figures.append((caption, style.png(heat_map(counts, what[:-1]))))
    return ReportSection("What good cells use", "\n\n".join(text), figures, [_table(population)])


def heat_map(counts: PairCounts, what: str) -> Figure:
    """Draws the ratio of each pair; `what` is 'rate' or 'grid'."""
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm

    figure, axes = style.new_figure(4.9)
    ratio = counts.ratio
    norm = LogNorm(1 / SCALE, SCALE, clip=True)
    colors = colormaps["PuOr_r"].copy()
    colors.set_bad("#dddddd")
    image = axes.imshow(np.ma.masked_invalid(np.clip(ratio, 1 / SCALE, SCALE)), cmap=colors, norm=norm)
    for (row, column), value in np.ndenumerate(ratio):
        if np.isfinite(value):
            dark = not 1 / 2.5 < value < 2.5
            axes.text(
                column, row, f"{value:.1f}", ha="center", va="center", fontsize=10, color="white" if dark else "black"
            )
    ticks = range(len(counts.values))
    axes.set_xticks(ticks, [str(value) for value in counts.values])
    axes.set_yticks(ticks, [str(value) for value in counts.values])
    axes.set(xlabel=f"{what}_w (width)", ylabel=f"{what}_h (height)")
    bar = figure.colorbar(image, ax=axes, shrink=0.8, label="more among the best →", ticks=[1 / 4, 1 / 2, 1, 2, 4])
    bar.ax.set_yticklabels(["¼", "½", "1", "2", "4"])
    bar.ax.minorticks_off()
    return figure


def pair_counts(
    population: Population, kind: type[AtrousConv] | type[PyramidPooling], values: Sequence[int]
) -> PairCounts:
    """Returns the counts of the rates of atrous convolutions, or of the grids of poolings."""
    places = {value: place for place, value in enumerate(sorted(values))}
    counts = np.zeros((2, len(places), len(places)))
    for scored, is_top in zip(population.candidates, population.is_top, strict=True):
        for branch in scored.cell.branches:
            if isinstance(branch.operation, kind):
                height, width = _pair(branch.operation)
                counts[:, places[height], places[width]] += (is_top, 1)
    return PairCounts(tuple(places), counts[0], counts[1])


def branch_share(test: Callable[[Branch], bool], cell: Cell) -> float:
    """Returns the share of a cell's branches that pass a test."""
    return sum(map(test, cell.branches)) / len(cell.branches)


def depth(cell: Cell) -> int:
    """Returns the number of branches in the longest chain from the backbone."""
    depths: list[int] = []
    for branch in cell.branches:
        depths.append(1 if branch.input == BACKBONE else depths[branch.input] + 1)
    return max(depths)


def _pair(operation: AtrousConv | PyramidPooling) -> tuple[int, int]:
    match operation:
        case AtrousConv():
            return operation.rate
        case PyramidPooling():
            return operation.grid
        case _:
            assert_never(operation)


def _branch_tests() -> dict[str, Callable[[Branch], bool]]:
    """Returns the tests of a branch by their rows of the table: each kind of operation, its aspects, and the branch's
    input.
    """
    tests: dict[str, Callable[[Branch], bool]] = {}
    for kind in known_operations():
        tests[kind.TITLE] = functools.partial(_is_of, kind, None)
        tests |= {f"... {words}": functools.partial(_is_of, kind, aspect) for words, aspect in kind.ASPECTS.items()}
    return {
        **tests,
        "reads the backbone": lambda branch: branch.input == BACKBONE,
        "reads an earlier branch": lambda branch: branch.input != BACKBONE,
    }


def _is_of(kind: type[Operation], aspect: Callable[[Operation], bool] | None, branch: Branch) -> bool:
    return isinstance(branch.operation, kind) and (aspect is None or aspect(branch.operation))


_OPERATION = {AtrousConv: "atrous", PyramidPooling: "pooling"}


def _table(population: Population) -> Table:
    """Returns the share of each feature among all and among the best; for chains of branches it is the share of
    cells.
    """
    cells = [scored.cell for scored in population.candidates]
    features = {name: [branch_share(test, cell) for cell in cells] for name, test in _branch_tests().items()}
    depths = [depth(cell) for cell in cells]
    features |= {
        f"cells whose longest chain has {words.count(length, 'branch', 'branches')}": [
            float(one == length) for one in depths
        ]
        for length in sorted(set(depths))
    }
    rows = []
    for name, values in features.items():
        shares = np.array(values)
        everywhere, top = shares.mean(), shares[population.is_top].mean()
        low, high = share_interval(top, population.num_top)
        ratio = f"{top / everywhere:.2f}" if everywhere else words.NONE
        shown = "" if low <= everywhere <= high else "yes"
        rows.append(
            (
                name,
                words.percent(everywhere),
                words.percent(top),
                f"[{words.percent(low)}, {words.percent(high)}]",
                ratio,
                shown,
            )
        )
    columns = ("share of branches", "all cells", "best tenth", "95 % interval", "ratio", "interval excludes all's")
    return f"Shares; intervals count {words.count(population.num_top, 'cell')}", columns, rows
