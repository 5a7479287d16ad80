"""What the search took, and what more of it would take."""

import numpy as np
from matplotlib.figure import Figure

from deeplab_dpc.search.reporting import style, words
from deeplab_dpc.search.reporting.population import Population, steps_taken
from deeplab_dpc.search.reporting.section import ReportSection, Table

PAPER_CANDIDATES = 28_000  # arXiv:1809.04184, Sec. 4.2
PAPER_STEPS = 30_000  # arXiv:1809.04184, Sec. 3.3
PAPER_SECONDS = 90 * 60  # a candidate on a GPU; arXiv:1809.04184, Sec. 3.3
MORE = 10  # times as many candidates


def cost(population: Population) -> ReportSection | None:
    """None if nothing was scored."""
    result = population.result
    scored = result.warm_starts + result.candidates
    if not scored:
        return None
    seconds = sum(item.score.seconds for item in scored)
    steps = sum(steps_taken(item.score) for item in scored)
    rerank = sum(item.seconds for item in result.reranked)
    text = (
        f"{words.count(len(scored), 'cell')} scored by proxy, warm starts included: {steps:,} steps, "
        f"{words.duration(seconds)} of device time. {words.count(len(result.reranked), 'cell')} trained end to end: "
        f"{words.duration(rerank)}. Device time is that of all workers added up, for training and scoring; whatever "
        "else kept the machine busy is in it."
    )
    tables = [_by_worker(population), _projection(population)] if len(population) else []
    figures = [("Seconds a candidate took", style.png(seconds_by_candidate(population)))] if len(population) else []
    return ReportSection("Cost", text, figures, tables)


def seconds_by_candidate(population: Population) -> Figure:
    """Seconds against multiply-adds, by budget."""
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
                words.duration(seconds.sum()),
                words.duration(middle),
                words.duration(low),
                words.duration(high),
                words.duration(seconds.max()),
            )
        )
    columns = ("worker", "candidates", "device time", "median", "10th percentile", "90th percentile", "longest")
    return "Seconds a candidate took, by worker", columns, rows


def _projection(population: Population) -> Table:
    """Device time of more candidates at the mean of these, and of the paper's search at the mean of a step."""
    candidates = len(population)
    each = population.seconds.mean()
    workers = len({scored.worker for scored in population.candidates})
    more = MORE * candidates
    rows = [_projected(f"{more:,} more candidates like these", more * each, workers)]
    steps = sum(steps_taken(scored.score) for scored in population.candidates)
    if steps:
        step = population.seconds.sum() / steps
        name = f"{PAPER_CANDIDATES:,} candidates of {PAPER_STEPS:,} steps, as in the paper, on these features"
        rows.append(_projected(name, PAPER_CANDIDATES * PAPER_STEPS * step, workers))
    paper = PAPER_CANDIDATES * PAPER_SECONDS
    rows.append(("the paper's own, 90 minutes each on a GPU", words.duration(paper), words.NONE))
    return "What more would take", ("", "device time", f"on {words.count(workers, 'worker')}"), rows


def _projected(name: str, seconds: float, workers: int) -> tuple[str, str, str]:
    return name, words.duration(seconds), words.duration(seconds / workers)
