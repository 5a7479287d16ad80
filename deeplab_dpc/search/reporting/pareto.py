"""The section on the cells that are best for their cost: the Pareto front of mIOU against multiply-adds."""

import numpy as np
from matplotlib.figure import Figure

from deeplab_dpc.search import words
from deeplab_dpc.search.reporting import style
from deeplab_dpc.search.reporting.population import Population
from deeplab_dpc.search.reporting.report_page import ReportSection
from deeplab_dpc.search.statistics import pareto_front

COLUMNS = ("name", "proxy mIOU", "re-ranked mIOU", "multiply-adds", "parameters", "rank by proxy", "cell")


def pareto(population: Population) -> ReportSection | None:
    """Returns the section; None without candidates."""
    if not len(population):
        return None
    height, width, _ = population.result.feature_shape
    front = pareto_front(population.multiply_adds, population.miou)
    text = (
        f"Candidates for which no other candidate is cheaper and at least as good, after {population.budget:,} steps; "
        f"multiply-adds of the cell with its projection on {height} x {width} features. The front is made of the "
        "luckiest scores at each cost: small steps along it may be noise."
    )
    rows = []
    for place in front[::-1]:
        scored = population.candidates[place]
        rows.append(
            (
                scored.name,
                words.score(scored.score.miou),
                words.score(population.result.real_miou(scored.cell)),
                words.billions(population.multiply_adds[place]),
                words.millions(population.parameters[place]),
                str(population.ranks[place]),
                scored.cell.summary(),
            )
        )
    figures = [("mIOU against multiply-adds, with the front", style.png(front_figure(population, front)))]
    return ReportSection("Pareto front", text, figures, [("The front, best first", COLUMNS, rows)])


def front_figure(population: Population, front: np.ndarray) -> Figure:
    """Draws all candidates, the front as steps, and the warm starts."""
    figure, axes = style.new_figure()
    cost = population.multiply_adds / 1e9
    size = style.point_size(int(np.isfinite(population.miou).sum()))
    style.points(axes, cost, population.miou, size, style.GREY, label="candidate")
    axes.step(cost[front], population.miou[front], where="post", color=style.BLUE, linewidth=1.5)
    axes.plot(cost[front], population.miou[front], "o", color=style.BLUE, markersize=5, label="Pareto front")
    for index, scored in enumerate(population.comparable_warm_starts()):
        color, marker = style.series(index + 1)
        place = population.result.cost(scored.cell).multiply_adds / 1e9
        axes.plot(
            place, scored.score.miou, marker, color=color, markersize=9, markeredgecolor="black", label=scored.name
        )
    axes.set(xlabel="multiply-adds of the cell (billions)", ylabel="proxy mIOU")
    style.legend_above(figure, axes)
    return figure
