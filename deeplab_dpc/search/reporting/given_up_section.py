"""The section on the tasks that were given up."""

from collections.abc import Sequence

from deeplab_dpc.search.reporting.report_page import ReportSection
from deeplab_dpc.search.service.given_up import AGAIN, GivenUp


def given_up(tasks: Sequence[GivenUp]) -> ReportSection | None:
    """Returns the section; None if nothing was given up."""
    if not tasks:
        return None
    columns = ("name", "draw", "attempts", "before the first step", "last worker", "last error", "cell")
    rows = [
        (
            task.name,
            task.draw,
            f"{task.attempts}",
            f"{task.before_first_step}",
            task.worker,
            task.error,
            task.summary,
        )
        for task in tasks
    ]
    text = f"These have no score: every worker that tried them died. The same command with {AGAIN}."
    return ReportSection("Given up", text, tables=[("Tasks without a result", columns, rows)])
