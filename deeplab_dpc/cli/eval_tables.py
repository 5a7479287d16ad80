"""The tables of deeplab-dpc eval: an evaluation, or the comparison of two (--compare), which loads no weights."""

import math
import pathlib

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.cli.flags.base import required
from deeplab_dpc.cli.flags.eval import Flags
from deeplab_dpc.console import console, print_table, printable
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.bootstrap import Bootstrap
from deeplab_dpc.evaluation.branch_weights import COLUMNS, branch_rows
from deeplab_dpc.evaluation.class_sums import occurrence_note
from deeplab_dpc.evaluation.comparison import Comparison, Difference, compare, find_evaluation
from deeplab_dpc.evaluation.measures import BY_CATEGORY, BY_CLASS, TITLES, MetricInterval
from deeplab_dpc.evaluation.report import Report
from deeplab_dpc.evaluation.stored import read_evaluation
from deeplab_dpc.files import remove_partial, write_json

ABSENT, IGNORED = "absent", "ignored"
COMPARISON_FILE = "comparison.json"


def print_report(report: Report, cell: Cell | None) -> None:
    """Prints the IoU of each class and the metrics over all classes, with their intervals, and tables of the categories
    and of the cell's branches.

    Args:
      report: report of the evaluation.
      cell: cell of the network, if it has one.
    """
    ignored = report.ignored_class()
    by_measure = {one.measure: its for one, its in zip(report.measured, report.metrics, strict=True)}
    rows = [
        _row(name, metric, IGNORED if name == ignored else ABSENT) for name, metric in by_measure[BY_CLASS].each.items()
    ]
    note = occurrence_note(*report.occurring())
    for name, metric in report.summary().items():
        beside = f" ({note})" if note and name == BY_CLASS.mean else ""
        rows.append(_row(TITLES[name] + beside, metric))
    images = f"{report.num_images} image" + ("s" if report.num_images > 1 else "")
    title = f"{report.info.name}/{report.split}, {images}, {report.source}"
    print_table(title, ("class", "IoU %", "95 % interval"), rows)
    if BY_CATEGORY in by_measure:
        rows = [_row(name, metric) for name, metric in by_measure[BY_CATEGORY].each.items()]
        print_table("Classes of a category taken as one", ("category", "IoU %", "95 % interval"), rows)
    if cell is not None:
        print_table("Branches of the cell, by their weights", COLUMNS, branch_rows(cell, report.branch_weights))
    if ignored is not None:
        console.print(f"Labelled pixels predicted as the ignored class {ignored}: {report.predicted_as_ignored()}.")
    for line in report.advice:
        console.print(f"Advice: {printable(line)}", soft_wrap=True)


def compare_runs(flags: Flags, bootstrap: Bootstrap) -> None:
    """Prints the differences between two evaluations, and writes them to --eval_logdir if it is given.

    Raises:
      UserError: if --compare is not two paths, one has no evaluation of --split, or they have different images, labels
        or classes.
    """
    paths = required("compare", flags.compare).split(",")
    if len(paths) != 2 or not all(paths):
        raise UserError(f"--compare must be RUN_A,RUN_B, two directories, got {flags.compare}.")
    given = [name for name in ("workdir", "checkpoint_path", "exported_model") if name in flags.given]
    if given:
        raise UserError(f"--compare reads evaluations that have been made; leave out --{given[0]}.")
    folders = [find_evaluation(path, flags.split) for path in paths]
    first, second = (read_evaluation(folder) for folder in folders)
    comparison = compare(first, second, bootstrap)
    title = f"{first.subject.dataset}/{first.subject.split}, {comparison.num_images} images"
    note = occurrence_note(*first.measured[0].counts.sums().occurring(first.subject.ignore_label))
    title += f"; {note}" if note else ""
    _print_comparison(title, (str(folders[0]), str(folders[1])), comparison)
    if flags.eval_logdir is not None:
        path = pathlib.Path(flags.eval_logdir) / COMPARISON_FILE
        remove_partial(path.parent, path.name)
        write_json(path, {"first": str(folders[0]), "second": str(folders[1]), **comparison.to_json()})
        console.print(f"Written: {path}")


def _print_comparison(title: str, names: tuple[str, str], comparison: Comparison) -> None:
    """Prints the IoU of each class, category and so on, and the metrics over all, with the differences.

    Args:
      title: title of the first table.
      names: names of the two evaluations.
      comparison: comparison of the two, with the differences and their intervals.
    """
    for letter, name in zip("AB", names, strict=True):
        console.print(f"{letter}: {name}")
    columns = ("A %", "B %", "B - A", "95 % interval", "not 0")
    for metric, each in comparison.each.items():
        heading = title if metric == BY_CLASS.each else metric.replace("_", " ")
        rows = [_difference_row(name, difference) for name, difference in each.items()]
        if metric == BY_CLASS.each:
            rows += [_difference_row(TITLES[name], difference) for name, difference in comparison.summary.items()]
        print_table(heading, ("category" if metric == BY_CATEGORY.each else "class", *columns), rows)
    for left_out in comparison.left_out:
        console.print(f"Left out: {left_out}, which only one of them has, or with another setting.")


def _row(name: str, metric: MetricInterval, if_nan: str = ABSENT) -> tuple[str, str, str]:
    return printable(name), _percent(metric.value, if_nan), _interval(metric.low, metric.high)


def _difference_row(name: str, difference: Difference) -> tuple[str, ...]:
    clear = "" if math.isnan(difference.low) else "yes" if difference.is_clear else "no"
    return (
        printable(name),
        _percent(difference.first),
        _percent(difference.second),
        "" if math.isnan(difference.value) else f"{100 * difference.value:+.2f}",
        _interval(difference.low, difference.high, "+"),
        clear,
    )


def _percent(value: float, if_nan: str = ABSENT) -> str:
    return if_nan if math.isnan(value) else f"{100 * value:.2f}"


def _interval(low: float, high: float, sign: str = "") -> str:
    return "" if math.isnan(low) else f"{100 * low:{sign}.2f} to {100 * high:{sign}.2f}"
