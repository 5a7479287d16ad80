"""The section on how well cheap signals rank the cells: proxy against re-ranked scores (arXiv:1809.04184, Fig. 4b),
losses, sizes.
"""

import dataclasses
import functools

import numpy as np
from matplotlib.figure import Figure

from deeplab_dpc.search import words
from deeplab_dpc.search.contest.outcome import Standing
from deeplab_dpc.search.rank_correlation import Correlation, correlate
from deeplab_dpc.search.reporting import style
from deeplab_dpc.search.reporting.population import Population
from deeplab_dpc.search.reporting.report_page import ReportSection, Table

MOST_POINTS = 500  # points of a correlation, whose time and memory grow with their square; of more, a sample is drawn
COLUMNS = ("rank", "by proxy", "name", "re-ranked mIOU", "proxy mIOU", "parameters", "multiply-adds", "cell")


@dataclasses.dataclass(frozen=True)
class Signal:
    """A number for each cell that may indicate its quality.

    Attributes:
      name: name of the signal, with its unit.
      against: name of the number with which it is compared.
      x, y: values of both, float64 [n].
      less_is_better: bool, whether smaller numbers are expected to mean better cells.
    """

    name: str
    against: str
    x: np.ndarray
    y: np.ndarray
    less_is_better: bool = False

    @functools.cached_property
    def correlation(self) -> Correlation:
        """Returns the rank correlation of all points, or of MOST_POINTS drawn from them; of -x if less is better."""
        chosen = np.arange(len(self.x))
        if len(chosen) > MOST_POINTS:
            chosen = np.random.default_rng(0).choice(chosen, MOST_POINTS, replace=False)
        x = -self.x if self.less_is_better else self.x
        return correlate(x[chosen], self.y[chosen])


def agreement(population: Population) -> ReportSection | None:
    """Returns the section; None without candidates."""
    if not len(population):
        return None
    reranked = population.result.standings
    text = [
        "Rank correlations with 95 % bootstrap intervals over cells. Positive means that cells with a higher proxy "
        "score, a smaller sum of losses, more parameters or multiply-adds or a larger receptive field are the better."
    ]
    if reranked:
        text.append(
            "Re-ranked cells are the best by proxy: within so narrow a range the order is mostly noise, and a rho near "
            "0 there does not show how well the proxy ranks cells in general."
        )
    else:
        text.append("No cell was re-ranked: nothing here shows how well the proxy predicts an end-to-end training.")
    signals = _signals(population, reranked)
    figures = []
    for signal in signals:
        sign = " (positive: less is better)" if signal.less_is_better else ""
        caption = f"{signal.name} against {signal.against}: {_rho(signal.correlation)}{sign}"
        figures.append((caption, style.png(scatter(signal))))
    tables = [_correlations(signals)]
    if reranked:
        tables.append(_ranking(population, reranked))
    return ReportSection("Rank correlation", "\n\n".join(text), figures, tables)


def scatter(signal: Signal) -> Figure:
    """Draws one point per cell."""
    figure, axes = style.new_figure()
    style.points(axes, signal.x, signal.y, style.point_size(len(signal.x)), style.BLUE)
    axes.set(xlabel=signal.name, ylabel=signal.against)
    return figure


def _signals(population: Population, reranked: list[Standing]) -> list[Signal]:
    """Returns the signals: proxy against re-ranked scores of candidates; losses at the last budget; sizes at the first
    one, which all have.
    """
    full = np.isfinite(population.miou)
    last = "proxy mIOU" if full.all() else f"proxy mIOU after {population.budget:,} steps"
    first = "proxy mIOU" if full.all() else f"proxy mIOU after {population.budgets[0]:,} steps"
    losses = np.array([scored.score.loss_sum for scored in population.candidates])
    found = {scored.cell for scored in population.candidates}
    both = [item for item in reranked if item.scored.cell in found and item.scored.score.steps == population.budget]
    signals = [
        Signal(
            last,
            "re-ranked mIOU",
            np.array([item.scored.score.miou for item in both]),
            # Scores of the first round and seed, which all cells have: those that left were trained for fewer steps.
            np.array([item.first_miou for item in both]),
        ),
        Signal("sum of training losses", last, losses[full], population.miou[full], less_is_better=True),
        Signal("parameters (millions)", first, population.parameters / 1e6, population.common_miou),
        Signal("multiply-adds (billions)", first, population.multiply_adds / 1e9, population.common_miou),
        Signal("receptive field (feature-map cells)", first, population.receptive_fields, population.common_miou),
    ]
    # A signal that no cell has, or that no search recorded, is left out.
    return [signal for signal in signals if len(signal.x) and signal.x.any()]


def _rho(correlation: Correlation) -> str:
    """Returns Spearman's rho as text, or why it is undefined."""
    if correlation.undefined:
        return f"no rank correlation ({correlation.undefined})"
    low, high = correlation.rho_interval
    return f"Spearman's rho {correlation.rho:.2f}, 95 % [{low:.2f}, {high:.2f}], n = {correlation.n}"


def _correlations(signals: list[Signal]) -> Table:
    rows = []
    for signal in signals:
        found = signal.correlation
        n = f"{found.n} of {len(signal.x):,} drawn" if found.n < len(signal.x) else str(found.n)
        figures = [words.NONE] * 4
        if not found.undefined:
            (rho_low, rho_high), (tau_low, tau_high) = found.rho_interval, found.tau_interval
            rho, tau = f"{found.rho:.2f}", f"{found.tau:.2f}"
            figures = [rho, f"[{rho_low:.2f}, {rho_high:.2f}]", tau, f"[{tau_low:.2f}, {tau_high:.2f}]"]
        rows.append((signal.name, signal.against, n, *figures))
    columns = ("signal", "against", "n", "Spearman's rho", "95 % interval", "Kendall's tau", "95 % interval")
    return "How well each signal ranks", columns, rows


def _ranking(population: Population, reranked: list[Standing]) -> Table:
    """Returns the final ranking; warm starts have no rank by proxy among the candidates."""
    ranks = {scored.cell: rank for scored, rank in zip(population.candidates, population.ranks, strict=True)}
    rows = []
    for place, item in enumerate(reranked, start=1):
        cost = population.result.cost(item.scored.cell)
        rows.append(
            (
                str(place),
                str(ranks.get(item.scored.cell, words.NONE)),
                item.scored.name,
                words.score(item.miou),
                words.score(item.scored.score.miou),
                words.millions(cost.parameters),
                words.billions(cost.multiply_adds),
                item.scored.cell.summary(),
            )
        )
    return "Final ranking (in the paper the best was 12th by proxy)", COLUMNS, rows
