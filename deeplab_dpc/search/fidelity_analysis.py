"""How well the proxy ranks, beside figures that need no training (arXiv:1809.04184, Sec. 4.1)."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence

from deeplab_dpc.search.fidelity import SUBSET, TOP, FidelityResult, FidelityRow
from deeplab_dpc.search.rank_correlation import Correlation, Difference, correlate, rho_difference

TOP_SHARE = 5  # the best by real score are one in so many
RESAMPLES = 1000


@dataclasses.dataclass(frozen=True)
class Predictor:
    """Something that may tell how good a cell is; larger is better.

    Attributes:
      of: its value for a cell.
      is_trivial: whether it needs no training.
    """

    name: str
    of: Callable[[FidelityRow], float]
    is_trivial: bool = False


PROXY = Predictor("proxy mIOU", lambda row: row.proxy.miou)
MEAN_PROXY = Predictor("proxy mIOU, mean of the seeds", lambda row: row.mean_proxy_miou)
PREDICTORS = (
    PROXY,
    Predictor("- training-loss sum", lambda row: -row.proxy.loss_sum),
    Predictor("- last loss", lambda row: -row.proxy.loss),
    Predictor("parameters", lambda row: row.cost.parameters, is_trivial=True),
    Predictor("multiply-adds", lambda row: row.cost.multiply_adds, is_trivial=True),
    Predictor("receptive field", lambda row: math.prod(row.receptive_field), is_trivial=True),
)


@dataclasses.dataclass(frozen=True)
class Scope:
    """Cells that are ranked among themselves."""

    name: str
    rows: Sequence[FidelityRow]

    @property
    def real(self) -> list[float]:
        return [row.real_miou for row in self.rows]

    def values(self, predictor: Predictor) -> list[float]:
        return [predictor.of(row) for row in self.rows]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The proxy beside the trivial figure that ranks best.

    Attributes:
      baseline: its name; '- NAME' if less of it is better.
      difference: of Spearman's rho, the proxy's less the baseline's.
    """

    baseline: str
    difference: Difference


@dataclasses.dataclass(frozen=True)
class Analysis:
    """What is known of a scope.

    Attributes:
      correlations: with the real score, by the predictor's name.
      comparison: None where no baseline has a correlation.
      between_seeds: correlations of the seeds of one kind of training, by what they are of; empty for one seed.
    """

    scope: Scope
    correlations: dict[str, Correlation]
    comparison: Comparison | None
    between_seeds: dict[str, Correlation]


def scopes(result: FidelityResult) -> list[Scope]:
    """Each group, and both together, with its top fifth by real score; groups without cells are left out."""
    subsets, top = result.group(SUBSET), result.group(TOP)
    groups = [Scope("sub-sets of ASPP", subsets), Scope("top cells of the search", top)]
    if subsets and top:
        groups.append(Scope("all cells", [*subsets, *top]))
    return [
        scope
        for group in groups
        if group.rows
        for scope in (group, Scope(f"{group.name}, top fifth", top_fifth(group.rows)))
    ]


def top_fifth(rows: Sequence[FidelityRow]) -> list[FidelityRow]:
    """The best by real score, a fifth rounded up, best first; of equals those that come first."""
    return sorted(rows, key=lambda row: row.real_miou, reverse=True)[: math.ceil(len(rows) / TOP_SHARE)]


def analyse(scope: Scope, resamples: int = RESAMPLES, seed: int = 0) -> Analysis:
    """Correlates all predictors with the real score."""
    seeds = len(scope.rows[0].reals)
    predictors = [*PREDICTORS, *([MEAN_PROXY] if seeds > 1 else [])]
    correlations = {
        predictor.name: correlate(scope.values(predictor), scope.real, resamples, seed) for predictor in predictors
    }
    return Analysis(
        scope, correlations, _compare(scope, correlations, resamples, seed), _between_seeds(scope, resamples, seed)
    )


def _compare(scope: Scope, correlations: dict[str, Correlation], resamples: int, seed: int) -> Comparison | None:
    """The proxy against the best trivial baseline.

    That is the one whose rho is furthest from 0, taken in the direction that suits it: seen afterwards, which favours
    the baseline.
    """
    trivial = [one for one in PREDICTORS if one.is_trivial and correlations[one.name].undefined is None]
    if not trivial:
        return None
    best = max(trivial, key=lambda one: abs(correlations[one.name].rho))
    sign = -1 if correlations[best.name].rho < 0 else 1
    values = [sign * value for value in scope.values(best)]
    difference = rho_difference(scope.values(PROXY), values, scope.real, resamples, seed)
    return Comparison(best.name if sign > 0 else f"- {best.name}", difference)


def _between_seeds(scope: Scope, resamples: int, seed: int) -> dict[str, Correlation]:
    found = {}
    for first, second in itertools.combinations(range(len(scope.rows[0].reals)), 2):
        for kind, of in (("real", lambda row: row.reals), ("proxy", lambda row: row.proxies)):
            scores = [[of(row)[place].miou for row in scope.rows] for place in (first, second)]
            found[f"{kind} mIOU, seeds {first + 1} and {second + 1}"] = correlate(*scores, resamples, seed)
    return found
