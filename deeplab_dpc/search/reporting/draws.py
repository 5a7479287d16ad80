"""The section that compares the scores of neighbours of good cells with those of uniform draws."""

import numpy as np
from matplotlib.figure import Figure

from deeplab_dpc.search import words
from deeplab_dpc.search.reporting import style
from deeplab_dpc.search.reporting.population import Population
from deeplab_dpc.search.reporting.report_page import ReportSection, Table
from deeplab_dpc.search.reporting.scores import num_bins
from deeplab_dpc.search.statistics import difference_interval, mean_interval, share_interval

UNIFORM = "uniform"
COLUMNS = ("draw", "n", "mean mIOU", "95 % interval", "median", "best", "in the best tenth", "95 % interval")


def draws(population: Population) -> ReportSection | None:
    """Returns the section; None without candidates."""
    if not len(population):
        return None
    text = [
        f"Scores by proxy after {population.budgets[0]:,} steps, which every candidate was trained for, by how the "
        "candidate was drawn. Intervals take the draws as independent of each other. Those of neighbours are not: many "
        "come from the same few cells, so that their intervals are rather too narrow."
    ]
    kinds = population.draw_kinds
    if len(kinds) == 1:
        text.append(f"All candidates are {kinds[0]} draws: there is nothing to compare.")
    elif UNIFORM in kinds:
        text += [_difference(population, kind) for kind in kinds if kind != UNIFORM]
    figures = [
        ("Distribution by draw", style.png(distributions(population))),
        ("Mean by draw with its 95 % bootstrap interval", style.png(means(population))),
    ]
    return ReportSection("Draws", "\n\n".join(text), figures if len(kinds) > 1 else (), [_table(population)])


def distributions(population: Population) -> Figure:
    """Draws a histogram for each kind of draw, as shares of its candidates."""
    figure, axes = style.new_figure()
    values = population.common_miou
    edges = np.histogram_bin_edges(values, num_bins(len(values)))
    for index, kind in enumerate(population.draw_kinds):
        chosen = values[population.draws == kind]
        shares = 100 * np.histogram(chosen, edges)[0] / len(chosen)
        line = ("-", "--", "-.", ":")[index % 4]
        axes.stairs(
            shares, edges, color=style.series(index)[0], linewidth=2, linestyle=line, label=f"{kind} ({len(chosen):,})"
        )
    axes.set(xlabel="proxy mIOU", ylabel="% of that draw's candidates", ylim=(0, None))
    style.legend_above(figure, axes)
    return figure


def means(population: Population) -> Figure:
    """Draws the mean of each kind of draw with its interval."""
    kinds = population.draw_kinds
    figure, axes = style.new_figure(1.6 + 0.5 * len(kinds))
    for index, kind in enumerate(kinds):
        values = population.common_miou[population.draws == kind]
        color, marker = style.series(index)
        axes.plot(values.mean(), index, marker, color=color, markersize=8)
        if len(values) > 1:
            axes.hlines(index, *mean_interval(values), color=color, linewidth=2.5)
    axes.set(xlabel="mean proxy mIOU", ylim=(len(kinds) - 0.4, -0.6))
    axes.set_yticks(range(len(kinds)), [f"{kind}\n(n = {(population.draws == kind).sum():,})" for kind in kinds])
    return figure


def _table(population: Population) -> Table:
    rows = []
    for kind in population.draw_kinds:
        chosen = population.draws == kind
        values, n = population.common_miou[chosen], int(chosen.sum())
        top = population.is_top[chosen].mean()
        low, high = share_interval(top, n)
        rows.append(
            (
                kind,
                f"{n:,}",
                words.score(values.mean()),
                words.interval(mean_interval(values)) if n > 1 else words.NONE,
                words.score(float(np.median(values))),
                words.score(values.max()),
                words.percent(top),
                f"[{words.percent(low)}, {words.percent(high)}]",
            )
        )
    return "By draw", COLUMNS, rows


def _difference(population: Population, kind: str) -> str:
    """Returns a sentence that compares the mean of a kind of draw with that of uniform ones."""
    values = population.common_miou[population.draws == kind]
    others = population.common_miou[population.draws == UNIFORM]
    difference = values.mean() - others.mean()
    if min(len(values), len(others)) < 2:
        return f"Too few {kind} or uniform draws for an interval of their difference."
    bounds = difference_interval(values, others)
    figures = f"{words.score(difference, True)}, 95 % {words.interval(bounds, True)}"
    said = f"Mean of {kind} draws less that of uniform draws: {figures}"
    if bounds[0] > 0:
        return f"{said}. They score better on average."
    if bounds[1] < 0:
        return f"{said}. They score worse on average."
    return f"{said}. The interval holds 0: no difference is shown."
