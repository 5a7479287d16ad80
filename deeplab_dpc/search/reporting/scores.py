"""The section on the scores of the candidates, and the best so far (arXiv:1809.04184, Fig. 4a)."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from deeplab_dpc.search.reporting import style
from deeplab_dpc.search.reporting.population import Population
from deeplab_dpc.search.reporting.report_page import ReportSection

SECONDS_PER_HOUR = 3600


def scores(population: Population) -> ReportSection | None:
    """Returns the section; None without candidates."""
    if not len(population):
        return None
    known = int(np.isfinite(population.miou).sum())
    text = (
        f"Scores by proxy after {population.budget:,} steps, which {known:,} of {len(population):,} candidates were "
        "trained for; broken lines are warm starts at the same budget. The best so far rises by chance alone when more "
        "cells are drawn, regardless of the sampler."
    )
    figures = [
        ("Score distribution", style.png(distribution(population))),
        ("Candidates in the order they were drawn, and the best so far", style.png(over_trials(population))),
        (
            f"Best so far over device hours, those of all workers and of the warm starts added up{_clock(population)}",
            style.png(over_hours(population)),
        ),
    ]
    return ReportSection("Scores", text, figures)


def distribution(population: Population) -> Figure:
    """Draws a histogram of the scores with the warm starts marked."""
    figure, axes = style.new_figure()
    values = population.miou[np.isfinite(population.miou)]
    axes.hist(values, bins=num_bins(len(values)), color=style.SKY, edgecolor="white", linewidth=0.5)
    style.mark_warm_starts(axes, population.comparable_warm_starts(), vertical=True)
    axes.set(xlabel="proxy mIOU", ylabel="candidates")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    style.legend_above(figure, axes)
    return figure


def over_trials(population: Population) -> Figure:
    """Draws every score by its number, coloured by the kind of draw, with the best so far."""
    figure, axes = style.new_figure()
    numbers = np.arange(1, len(population) + 1)
    for index, draw in enumerate(population.draw_kinds):
        chosen = (population.draws == draw) & np.isfinite(population.miou)
        color, marker = style.series(index)
        size = style.point_size(int(np.isfinite(population.miou).sum()))
        style.points(axes, numbers[chosen], population.miou[chosen], size, color, marker, draw)
    axes.step(
        numbers, best_so_far(population.miou), where="post", color=style.BLACK, linewidth=1.6, label="best so far"
    )
    style.mark_warm_starts(axes, population.comparable_warm_starts())
    axes.set(xlabel="candidate", ylabel="proxy mIOU")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.legend_above(figure, axes)
    return figure


def over_hours(population: Population) -> Figure:
    """Draws the best so far over the device time spent until then."""
    figure, axes = style.new_figure()
    order = finishing_order(population)
    before = sum(scored.score.seconds for scored in population.result.warm_starts)
    hours = (before + np.cumsum(population.seconds[order])) / SECONDS_PER_HOUR
    best = best_so_far(population.miou[order])
    axes.step(hours, best, where="post", color=style.BLACK, linewidth=1.6, label="best so far")
    axes.plot(hours[-1:], best[-1:], "o", color=style.BLACK, markersize=5)
    style.mark_warm_starts(axes, population.comparable_warm_starts())
    axes.set(xlabel="device hours", ylabel="best proxy mIOU so far")
    axes.set_xlim(left=0)
    style.legend_above(figure, axes)
    return figure


def best_so_far(values: np.ndarray) -> np.ndarray:
    """Returns the largest of the values up to each one; nan until there is one."""
    return np.fmax.accumulate(values)


def finishing_order(population: Population) -> np.ndarray:
    """Returns the indices of the candidates in the order they were finished, or in that of the draws if times are
    unknown.
    """
    finished = np.array([scored.finished for scored in population.candidates])
    return np.argsort(finished, kind="stable") if finished.all() else np.arange(len(population))


def num_bins(count: int) -> int:
    """Returns the number of bins of a histogram: twice the cube root of the number of values (Rice's rule), within
    limits.
    """
    return int(np.clip(2 * count ** (1 / 3), 6, 40))


def _clock(population: Population) -> str:
    known = all(scored.finished for scored in population.candidates)
    return "" if known else " (in the order of the draws: when they were finished is not known)"
