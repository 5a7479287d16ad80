"""The section on the cost of a full search, estimated from the cells of this one."""

from collections.abc import Sequence

import numpy as np

from deeplab_dpc.search import words
from deeplab_dpc.search.reporting.population import Population
from deeplab_dpc.search.reporting.projection import (
    PAPER_CANDIDATES,
    PAPER_SECONDS,
    PAPER_STEPS,
    PAPER_WORKERS,
    CostModel,
    Plan,
    device_seconds,
    paper_plan,
    tenths,
    wall_seconds,
)
from deeplab_dpc.search.reporting.report_page import ReportSection, Table

WORKERS = (1, 8, 64, PAPER_WORKERS)
HALVING_RUNGS = 4
HOUR = 3600.0
DAY = 24 * HOUR
UNKNOWN = (
    "Unknown: no cell here has the seconds per step. They are missing in scores from earlier "
    "versions, in those of --proxy_features=end_to_end, and for cells whose training diverged."
)


def full_search(population: Population) -> ReportSection | None:
    """Returns the section; None if nothing was scored."""
    result = population.result
    scored = result.warm_starts + result.candidates
    if not scored:
        return None
    title = "What a full search would cost"
    model = CostModel.of(scored)
    if model is None:
        return ReportSection(title, UNKNOWN)
    config = result.config
    text = [
        f"By {words.count(len(model.cells), 'cell')} of this search: a rung of n steps takes its overhead (starting "
        "weights, scoring) and n times a step. Device hours are by the mean step of these cells and their median "
        "overhead; between: if all cells were like the cheapest tenth of these, or like the most expensive tenth. N "
        "workers need --lookahead=N at least.",
        *notes(model),
        holds_for(config.proxy_batch_size, result.feature_shape),
    ]
    tables = [projection_table(model, [("this search", Plan.of(config))]), measured_table(model)]
    return ReportSection(title, "\n\n".join(text), tables=tables)


def notes(model: CostModel) -> list[str]:
    """Returns the notes on the estimates, one or two sentences each."""
    plan = paper_plan(HALVING_RUNGS)
    rungs = ", ".join(f"{steps:,}" for steps in plan.rung_steps)
    fewer = PAPER_STEPS / plan.steps_of_candidate
    said = [
        f"Successive halving trains each rung from scratch: rungs of {rungs} steps take a candidate "
        f"{plan.steps_of_candidate:,.0f} steps if a quarter climbs each time, {fewer:.1f} times fewer; where later "
        "cells are better than earlier ones, more climb."
    ]
    if model.has_only_first_cells:
        said.append("All of these are the first cells of their workers, so that compilation counts as overhead.")
    return said


def holds_for(batch_size: int, feature_shape: Sequence[int]) -> str:
    """Returns the conditions under which the estimates hold."""
    return (
        f"This holds for batches of {batch_size} and features of {_sides(feature_shape)} with their labels; another "
        "batch or size costs otherwise (the paper's: 8, 49 x 49 x 320, labels of 769 x 769)."
    )


def projection_table(model: CostModel, plans: Sequence[tuple[str, Plan]] = ()) -> Table:
    """Returns the table of device hours and days of some plans, of the paper's protocol, and of the paper's search."""
    paper = f"{PAPER_CANDIDATES:,} cells of {PAPER_STEPS:,} steps"
    known = [*plans, (paper, paper_plan()), (f"the same, {HALVING_RUNGS} rungs", paper_plan(HALVING_RUNGS))]
    rows = [_projected(model, name, plan) for name, plan in known]
    own = PAPER_WORKERS * PAPER_SECONDS
    days = [figure(own / workers / DAY) for workers in WORKERS]
    rows.append(("the paper's own, on GPUs", f"{PAPER_STEPS:,}", figure(own / HOUR), words.NONE, *days))
    workers = [words.count(number, "worker") for number in WORKERS]
    columns = ("search", "steps a cell", "device hours", "between", *workers)
    return "Device hours, and days by the number of workers like those measured", columns, rows


def measured_table(model: CostModel) -> Table:
    """Returns the table of the time per step and the overhead of a rung, by worker."""
    rows = []
    for name, cells in model.by_worker.items():
        step = np.array([1000 * cell.step_seconds for cell in cells])
        low, high = tenths(step)
        overhead = np.median([cell.overhead_seconds for cell in cells])
        between = f"{figure(low)} to {figure(high)}"
        rows.append((name or "unknown", f"{len(cells):,}", figure(step.mean()), between, f"{overhead:.2f}"))
    columns = ("worker", "cells", "ms a step", "10th to 90th percentile", "overhead of a rung, s")
    start = f"; a worker's first cell takes {words.duration(model.start_seconds)} more" if model.start_seconds else ""
    return f"What cells took{start}", columns, rows


def figure(value: float) -> str:
    """Returns a number with three significant digits, or with all digits before the point, as text."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:#.3g}"


def _projected(model: CostModel, name: str, plan: Plan) -> tuple[str, ...]:
    device = device_seconds(model, plan).map(1 / HOUR)
    days = [figure(wall_seconds(model, plan, workers).typical / DAY) for workers in WORKERS]
    between = f"{figure(device.low)} to {figure(device.high)}"
    return name, f"{plan.steps_of_candidate:,.0f}", figure(device.typical), between, *days


def _sides(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
