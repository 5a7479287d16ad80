"""Analysis of how well the proxy ranks cells, compared with predictors that need no training (arXiv:1809.04184, Sec.
4.1).
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence

from deeplab_dpc.search.fidelity.measurement import GROUPS, MIXED, SUBSET, TOP, FidelityResult, FidelityRow
from deeplab_dpc.search.rank_correlation import Correlation, Difference, correlate, rho_difference

TOP_SHARE = 5  # the best 1 / TOP_SHARE of the cells by real score are the top ones
ALL = "all"  # all groups together
NAMES = {
    SUBSET: "subsets of ASPP",
    MIXED: "mixed cells",
    TOP: "top cells of the search",
    ALL: "cells of all groups",
}
FEW = 3  # number of cells that a search would train end to end


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A predictor of the quality of a cell, larger for better cells.

    Attributes:
      name: name of the predictor.
      of: function that returns the value of the predictor for a cell.
      is_trivial: bool, whether the predictor needs no training.
    """

    name: str
    of: Callable[[FidelityRow], float]
    is_trivial: bool = False


PROXY = Predictor("proxy mIOU", lambda row: row.proxy.miou)
MEAN_OF_POINTS = Predictor("proxy mIOU, mean of its points", lambda row: row.proxy.mean_miou)
MEAN_PROXY = Predictor("proxy mIOU, mean of the seeds", lambda row: row.mean_proxy_miou)
PREDICTORS = (
    PROXY,
    MEAN_OF_POINTS,
    Predictor("minus validation cross entropy", lambda row: -row.proxy.cross_entropy),
    Predictor("minus loss sum", lambda row: -row.proxy.loss_sum),
    Predictor("minus last loss", lambda row: -row.proxy.loss),
    Predictor("parameters", lambda row: row.cost.parameters, is_trivial=True),
    Predictor("multiply-adds", lambda row: row.cost.multiply_adds, is_trivial=True),
    Predictor("receptive field", lambda row: math.prod(row.receptive_field), is_trivial=True),
)


def predictors(rows: Sequence[FidelityRow]) -> list[Predictor]:
    """Returns the predictors of the cells; the mean of the points is left out if there is one point, since it
    is the score itself.
    """
    several = any(len(row.proxy.points) > 1 for row in rows)
    return [one for one in PREDICTORS if several or one is not MEAN_OF_POINTS]


@dataclasses.dataclass(frozen=True)
class Scope:
    """The cells that are ranked among themselves.

    Attributes:
      group: one of measurement.GROUPS, or ALL.
      rows: rows of the cells, at least one.
      is_top_fifth: bool, whether the rows are only the best fifth of the group by real score.
    """

    group: str
    rows: Sequence[FidelityRow]
    is_top_fifth: bool = False

    @property
    def name(self) -> str:
        return f"{NAMES[self.group]}, top fifth" if self.is_top_fifth else NAMES[self.group]

    @property
    def real(self) -> list[float]:
        return [row.real_miou for row in self.rows]

    def values(self, predictor: Predictor) -> list[float]:
        return [predictor.of(row) for row in self.rows]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The comparison of the proxy with the trivial predictor that ranks best.

    Attributes:
      baseline: name of that predictor; 'minus NAME' if its smaller values are better.
      difference: Spearman's rho of the proxy minus that of the baseline.
    """

    baseline: str
    difference: Difference


@dataclasses.dataclass(frozen=True)
class Regret:
    """The real mIOU that is lost if only the first cells by a predictor are trained end to end.

    It is the best real score of all cells minus the best of those. Cells that tie in the predictor are taken in the
    order that loses most.

    Attributes:
      of_first: regret if one cell is trained, in [0, 1].
      of_first_three: regret if FEW cells are trained, in [0, 1].
    """

    of_first: float
    of_first_three: float


@dataclasses.dataclass(frozen=True)
class Analysis:
    """The analysis of a scope.

    Attributes:
      scope: cells that were analysed.
      correlations: correlations with the real score, by name of the predictor.
      regrets: regrets by name of the predictor.
      comparison: comparison with the best baseline; None if no baseline has a correlation.
      between_seeds: correlations between two seeds of one kind of training, by description; empty for one seed.
    """

    scope: Scope
    correlations: dict[str, Correlation]
    regrets: dict[str, Regret]
    comparison: Comparison | None
    between_seeds: dict[str, Correlation]


def scopes(result: FidelityResult) -> list[Scope]:
    """Returns each group that has cells, all groups together, and the top fifth of each of them by real score."""
    groups = {group: rows for group in GROUPS if (rows := result.group(group))}
    if len(groups) > 1:
        groups[ALL] = list(itertools.chain.from_iterable(groups.values()))
    return [
        scope
        for group, rows in groups.items()
        for scope in (Scope(group, rows), Scope(group, top_fifth(rows), is_top_fifth=True))
    ]


def top_fifth(rows: Sequence[FidelityRow]) -> list[FidelityRow]:
    """Returns the best fifth of the rows by real score, rounded up, best first; of equal rows the earlier ones."""
    return sorted(rows, key=lambda row: row.real_miou, reverse=True)[: math.ceil(len(rows) / TOP_SHARE)]


def analyse(scope: Scope) -> Analysis:
    """Returns the analysis of a scope, in which all predictors are correlated with the real score."""
    seeds = len(scope.rows[0].reals)
    compared = [*predictors(scope.rows), *([MEAN_PROXY] if seeds > 1 else [])]
    correlations = {predictor.name: correlate(scope.values(predictor), scope.real) for predictor in compared}
    regrets = {predictor.name: _regret(scope.values(predictor), scope.real) for predictor in compared}
    return Analysis(
        scope,
        correlations,
        regrets,
        _compare(scope, correlations),
        _between_seeds(scope),
    )


def _regret(values: Sequence[float], real: Sequence[float]) -> Regret:
    ordered = [score for _, score in sorted(zip(values, real, strict=True), key=lambda pair: (-pair[0], pair[1]))]
    return Regret(max(real) - ordered[0], max(real) - max(ordered[:FEW]))


def _compare(scope: Scope, correlations: dict[str, Correlation]) -> Comparison | None:
    """Returns the comparison of the proxy with the best trivial predictor.

    That is the one whose rho is furthest from 0, with the sign that makes rho positive. It is chosen after the fact,
    which favours the baseline.
    """
    trivial = [one for one in PREDICTORS if one.is_trivial and correlations[one.name].undefined is None]
    if not trivial:
        return None
    best = max(trivial, key=lambda one: abs(correlations[one.name].rho))
    sign = -1 if correlations[best.name].rho < 0 else 1
    values = [sign * value for value in scope.values(best)]
    difference = rho_difference(scope.values(PROXY), values, scope.real)
    return Comparison(best.name if sign > 0 else f"minus {best.name}", difference)


def _between_seeds(scope: Scope) -> dict[str, Correlation]:
    found = {}
    for first, second in itertools.combinations(range(len(scope.rows[0].reals)), 2):
        real = ([row.reals[place].miou for row in scope.rows] for place in (first, second))
        proxy = ([row.proxies[place].miou for row in scope.rows] for place in (first, second))
        for kind, (one, other) in (("real", real), ("proxy", proxy)):
            found[f"{kind} mIOU, seeds {first + 1} and {second + 1}"] = correlate(one, other)
    return found
