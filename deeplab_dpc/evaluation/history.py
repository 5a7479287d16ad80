"""history.csv: a row for each evaluation of a run whose checkpoints are evaluated as they come."""

import csv
import math
import pathlib

from deeplab_dpc.evaluation.report import Report
from deeplab_dpc.files import atomic_path

HISTORY_FILE = "history.csv"


def append_history(folder: pathlib.Path, report: Report) -> None:
    """Adds the row of an evaluation; columns that the file does not have yet are empty in its earlier rows."""
    path = folder / HISTORY_FILE
    rows = []
    if path.exists():
        with open(path, newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    row = {"step": str(report.step), "images": str(report.num_images), "seconds": f"{report.seconds:.1f}"}
    for name, figure in report.summary().items():
        bounds = {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
        row |= {key: "" if math.isnan(value) else f"{value:.6f}" for key, value in bounds.items()}
    rows.append(row)
    columns = list(dict.fromkeys(column for each in rows for column in each))
    with atomic_path(path) as partial, open(partial, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
