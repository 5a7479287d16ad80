"""The section on the candidates that successive halving stopped, and the agreement of early scores with the last
one.
"""

import numpy as np
from matplotlib.figure import Figure

from deeplab_dpc.search import words
from deeplab_dpc.search.rank_correlation import correlate
from deeplab_dpc.search.reporting import style
from deeplab_dpc.search.reporting.population import Population, steps_taken
from deeplab_dpc.search.reporting.report_page import ReportSection, Table
from deeplab_dpc.search.reporting.scores import num_bins

COLUMNS = (
    "steps",
    "scored",
    "stopped there",
    "median mIOU",
    "rho with the last",
    "95 % interval",
    "n",
    "rank of the final best",
)


def stopping(population: Population) -> ReportSection | None:
    """Returns the section; None if all candidates were trained for the same number of steps."""
    if len(population.budgets) < 2:
        return None
    taken = sum(steps_taken(scored.score) for scored in population.candidates)
    share = taken / (len(population) * population.budget)
    text = (
        f"Every budget trains from scratch. All candidates together took {taken:,} steps: {words.percent(share)} of "
        f"what training each for {population.budget:,} would have taken. The correlations are of those candidates that "
        "went on to the last budget: they were chosen for their early scores and differ less in these than all "
        "candidates, which lowers the correlation."
    )
    figures = [
        ("Scores after each budget, of those that were trained for it", style.png(rung_distributions(population)))
    ]
    figures += [
        (f"Score after {steps:,} steps against the last", style.png(rung_scatter(population, steps)))
        for steps in population.budgets[:-1]
    ]
    return ReportSection("Successive halving", text, figures, [_table(population)])


def rung_distributions(population: Population) -> Figure:
    """Draws a histogram for each budget, as shares of the candidates scored at it."""
    figure, axes = style.new_figure()
    values = [_known(population.miou_at(steps)) for steps in population.budgets]
    edges = np.histogram_bin_edges(np.concatenate(values), num_bins(len(population)))
    for index, (steps, chosen) in enumerate(zip(population.budgets, values, strict=True)):
        shares = 100 * np.histogram(chosen, edges)[0] / len(chosen)
        line = ("-", "--", "-.", ":")[index % 4]
        label = f"{steps:,} steps ({len(chosen):,})"
        axes.stairs(shares, edges, color=style.series(index)[0], linewidth=2, linestyle=line, label=label)
    axes.set(xlabel="proxy mIOU", ylabel="% of those candidates", ylim=(0, None))
    style.legend_above(figure, axes, columns=2)
    return figure


def rung_scatter(population: Population, steps: int) -> Figure:
    """Draws the score after that number of steps against that after the largest."""
    figure, axes = style.new_figure()
    size = 2 * style.point_size(int(np.isfinite(population.miou).sum()))
    style.points(axes, population.miou_at(steps), population.miou, size, style.BLUE)
    axes.set(xlabel=f"proxy mIOU after {steps:,} steps", ylabel=f"after {population.budget:,} steps")
    return figure


def _table(population: Population) -> Table:
    reached = np.array([scored.score.steps for scored in population.candidates])
    went_on = np.isfinite(population.miou)
    rows = []
    for steps in population.budgets:
        scores = population.miou_at(steps)
        known = _known(scores)
        stopped = int((reached == steps).sum()) if steps < population.budget else 0
        row = [f"{steps:,}", f"{len(known):,}", f"{stopped:,}", words.score(float(np.median(known)))]
        both = went_on & np.isfinite(scores)
        found = correlate(scores[both], population.miou[both])
        if steps == population.budget or found.undefined:
            row += [words.NONE] * 2
        else:
            row += [f"{found.rho:.2f}", f"[{found.rho_interval[0]:.2f}, {found.rho_interval[1]:.2f}]"]
        rows.append([*row, str(found.n), _place_of_best(scores, population)])
    return "By budget", COLUMNS, rows


def _place_of_best(scores: np.ndarray, population: Population) -> str:
    """Returns the rank by those scores of the candidate that is best at the last budget; '-' if it has none."""
    own = scores[population.order[0]]
    return words.NONE if np.isnan(own) else f"{int((scores > own).sum()) + 1:,}"


def _known(values: np.ndarray) -> np.ndarray:
    known: np.ndarray = values[np.isfinite(values)]
    return known
