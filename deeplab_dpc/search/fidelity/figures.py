"""Scatter plots of a measurement: predictors against the score of real training, a point per cell (Fig. 3b and 4b)."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import EngFormatter

from deeplab_dpc.search.fidelity.analysis import NAMES, PROXY, Analysis, Predictor, predictors
from deeplab_dpc.search.fidelity.measurement import GROUPS, FidelityResult, FidelityRow
from deeplab_dpc.search.reporting.style import GREY, SIZE, new_figure, png, point_size, series

SIDES = ((0.0, "left"), (0.5, "center"), (1.0, "right"))  # x and alignment of each group's rho above the axes
COLUMNS = 2
PANEL = (2.7, 2.1)  # inches


def proxy_figure(result: FidelityResult) -> bytes:
    """Returns the plot of real over proxy scores as PNG; bars span the seeds, and the extreme cells are named."""
    figure, axes = new_figure(SIZE[1] * 1.15)
    for row in result.rows if result.config.fidelity_seeds > 1 else ():
        proxies, reals = ([score.miou for score in scores] for scores in (row.proxies, row.reals))
        axes.plot([min(proxies), max(proxies)], [row.real_miou] * 2, color=GREY, linewidth=0.8, zorder=1)
        axes.plot([row.proxy.miou] * 2, [min(reals), max(reals)], color=GREY, linewidth=0.8, zorder=1)
    _scatter(axes, result, PROXY)
    for index, group in enumerate(GROUPS):
        _name_extremes(axes, result.group(group), series(index)[0])
    axes.set(xlabel="proxy mIOU", ylabel="mIOU of real training")
    axes.margins(0.15)
    figure.legend(loc="outside upper center", ncols=len(GROUPS), fontsize=9, frameon=False)
    return png(figure)


def predictors_figure(result: FidelityResult, analyses: Sequence[Analysis]) -> bytes:
    """Returns the plot with one panel per predictor as PNG, with Spearman's rho of each group in the group's colour."""
    shown = predictors(result.rows)
    lines = -(-len(shown) // COLUMNS)
    figure = Figure(figsize=(PANEL[0] * COLUMNS, PANEL[1] * lines), layout="constrained")
    panels = figure.subplots(lines, COLUMNS, sharey=True)
    for axes in panels.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, predictor in zip(panels.flat, shown, strict=False):
        _scatter(axes, result, predictor)
        _write_rho(axes, predictor, analyses)
        axes.set_xlabel(predictor.name)
        axes.spines[["top", "right"]].set_visible(False)
        axes.locator_params(axis="x", nbins=4)
        if predictor.is_trivial:
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    for axes in panels[:, 0]:
        axes.set_ylabel("mIOU, real")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(GROUPS), fontsize=9, frameon=False)
    return png(figure)


def _write_rho(axes: Axes, predictor: Predictor, analyses: Sequence[Analysis]) -> None:
    """Writes Spearman's rho above the axes: of one group at the left, of one in the middle and of one at the right."""
    for analysis in analyses:
        scope = analysis.scope
        if scope.is_top_fifth or scope.group not in GROUPS:
            continue
        index = GROUPS.index(scope.group)
        correlation = analysis.correlations[predictor.name]
        value = "none" if correlation.undefined else f"{correlation.rho:.2f}"
        x, align = SIDES[index]
        axes.text(
            x, 1.04, rf"$\rho$ = {value}", transform=axes.transAxes, ha=align, fontsize=10, color=series(index)[0]
        )


def _scatter(axes: Axes, result: FidelityResult, predictor: Predictor) -> None:
    for index, group in enumerate(GROUPS):
        rows = result.group(group)
        if rows:
            color, marker = series(index)
            points = [predictor.of(row) for row in rows], [row.real_miou for row in rows]
            size = point_size(len(result.rows))
            axes.scatter(*points, s=size, color=color, marker=marker, alpha=0.75, label=NAMES[group])


def _name_extremes(axes: Axes, rows: Sequence[FidelityRow], color: str) -> None:
    """Writes the names of the best and the worst cell: by proxy beside its point, by real training above or below."""
    if not rows:
        return
    proxies, reals = [row.proxy.miou for row in rows], [row.real_miou for row in rows]
    places: dict[int, dict[str, Any]] = {}
    for scores, best, worst in (
        (proxies, {"xytext": (7, 0), "ha": "left", "va": "center"}, {"xytext": (-7, 0), "ha": "right", "va": "center"}),
        (reals, {"xytext": (0, 6), "ha": "center", "va": "bottom"}, {"xytext": (0, -6), "ha": "center", "va": "top"}),
    ):
        places.setdefault(max(range(len(rows)), key=scores.__getitem__), best)
        places.setdefault(min(range(len(rows)), key=scores.__getitem__), worst)
    for place, where in places.items():
        axes.annotate(
            rows[place].name,
            (proxies[place], reals[place]),
            textcoords="offset points",
            fontsize=8,
            color=color,
            path_effects=[withStroke(linewidth=2, foreground="white")],
            **where,
        )
