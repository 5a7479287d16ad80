"""The output of the commands: one console, progress bars for long work, tables. Nothing is animated outside a
terminal.
"""

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

import rich.box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

WRAPPED = ("cell", "value", "what", "why")  # columns of tables that hold text and may take several lines
LOG_WIDTH = 140  # characters, if the output is not a terminal
SPEED_SECONDS = 3600  # longest period for the estimate of the time left; some steps take longer than rich's 30 s
console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
if not console.is_terminal:
    console.width = LOG_WIDTH


_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def printable(text: str) -> str:
    """Returns the text as one line of Unicode, in which control characters and undecodable bytes of file names are
    escaped.
    """
    return _UNPRINTABLE.sub(lambda found: _escaped(found[0]), text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # stands for a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def progress_bar() -> Progress:
    """Returns a progress bar with counts, elapsed and remaining time; in a log only its end is printed."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        speed_estimate_period=SPEED_SECONDS,
    )


Item = TypeVar("Item")


def track(items: Iterable[Item], description: str, total: int) -> Iterable[Item]:
    """Yields the items while a progress bar is shown."""
    with progress_bar() as progress:
        task = progress.add_task(description, total=total, note="")
        for item in items:
            yield item
            progress.advance(task)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a table; all columns except the first and those in WRAPPED hold numbers and are right-aligned."""
    table = Table(title=title, box=rich.box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for i, column in enumerate(columns):
        is_text = i == 0 or column in WRAPPED
        table.add_column(column, justify="left" if is_text else "right", no_wrap=column not in WRAPPED, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
