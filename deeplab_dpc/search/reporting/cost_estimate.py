"""The section on the cost of the search, and of more candidates like its own."""

import numpy as np
from matplotlib.figure import Figure

from deeplab_dpc.search import words
from deeplab_dpc.search.reporting import style
from deeplab_dpc.search.reporting.population import Population, steps_taken
from deeplab_dpc.search.reporting.report_page import ReportSection, Table

MORE = 10  # times as many candidates


def cost(population: Population) -> ReportSection | None:
    """Returns the section; None if nothing was scored."""
    result = population.result
    scored = result.warm_starts + result.candidates
    if not scored:
        return None
    seconds = sum(item.score.seconds for item in scored)
    steps = sum(steps_taken(item.score) for item in scored)
    rerank = sum(item.seconds for item in result.standings)
    text = (
        f"{words.count(len(scored), 'cell')} scored by proxy, warm starts included: {steps:,} steps, "
        f"{words.duration(seconds)} of device time. {words.count(len(result.standings), 'cell')} trained end to end: "
        f"{words.duration(rerank)}. Device time is that of all workers added up, for training and scoring; whatever "
        "else kept the machine busy is in it."
    )
    if len(population):
        text += "\n\n" + _more(population)
    tables = [_by_worker(population)] if len(population) else []
    figures = [("Seconds a candidate took", style.png(seconds_by_candidate(population)))] if len(population) else []
    return ReportSection("Cost", text, figures, tables)


def seconds_by_candidate(population: Population) -> Figure:
    """Draws seconds against multiply-adds, by budget."""
    figure, axes = style.new_figure()
    reached = np.array([scored.score.steps for scored in population.candidates])
    for index, steps in enumerate(np.unique(reached)):
        chosen = reached == steps
        color, marker = style.series(index)
        size = style.point_size(len(population))
        cost = population.multiply_adds[chosen] / 1e9
        label = f"up to {steps:,} steps"
        style.points(axes, cost, population.seconds[chosen], size, color, marker, label)
    axes.set(xlabel="multiply-adds of the cell (billions)", ylabel="seconds")
    axes.set_ylim(bottom=0)
    if len(np.unique(reached)) > 1:
        style.legend_above(figure, axes)
    return figure


def _by_worker(population: Population) -> Table:
    names = np.array([scored.worker for scored in population.candidates], dtype=str)
    groups = [("all workers", np.ones(len(names), dtype=bool))]
    groups += [(name or "unknown", names == name) for name in np.unique(names)]
    rows = []
    for name, chosen in groups:
        seconds = population.seconds[chosen]
        low, middle, high = np.percentile(seconds, [10, 50, 90])
        rows.append(
            (
                name,
                f"{len(seconds):,}",
                words.duration(float(seconds.sum())),
                words.duration(middle),
                words.duration(low),
                words.duration(high),
                words.duration(float(seconds.max())),
            )
        )
    columns = ("worker", "candidates", "device time", "median", "10th percentile", "90th percentile", "longest")
    return "Seconds a candidate took, by worker", columns, rows


def _more(population: Population) -> str:
    """Returns a sentence on the device time of more candidates, at the mean time of these."""
    candidates = MORE * len(population)
    seconds = candidates * population.seconds.mean()
    workers = len({scored.worker for scored in population.candidates})
    shared = f", {words.duration(seconds / workers)} on {workers:,} workers" if workers > 1 else ""
    return f"{candidates:,} more candidates like these would take {words.duration(seconds)}{shared}."
