"""Formatting of numbers as text of the report."""

import math

from deeplab_dpc.search.rank_correlation import Correlation
from deeplab_dpc.search.statistics import Interval

NONE = "-"


def score(miou: float | None, signed: bool = False) -> str:
    """Returns an mIOU in [0, 1], or a difference of two, as text; '-' for None and nan."""
    if miou is None or math.isnan(miou):
        return NONE
    return f"{miou:+.4f}" if signed else f"{miou:.4f}"


def points(miou: float) -> str:
    """Returns a difference of mIOU in points, which are hundredths, as text."""
    return f"{100 * miou:.2f}"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def interval(bounds: Interval, signed: bool = False) -> str:
    return f"[{score(bounds[0], signed)}, {score(bounds[1], signed)}]"


def duration(seconds: float) -> str:
    """Returns a duration in a suitable unit as text."""
    for unit, name, limit in ((1, "s", 120), (60, "min", 120), (3600, "h", 72), (86400, "days", 730)):
        if seconds < limit * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds / (365.25 * 86400):,.1f} years"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Returns a number with its noun, such as '1 cell' or '2 cells'."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def large(number: float) -> str:
    """Returns a very large number, such as 4.2e+11."""
    return f"{number:,}" if number < 1e6 else f"{number:.2g}"


def millions(number: float) -> str:
    return f"{number / 1e6:.2f}M"


def billions(number: float) -> str:
    return f"{number / 1e9:.2f}B"


def correlation_words(correlation: Correlation) -> tuple[str, ...]:
    """Returns the number of points, rho with its interval, and tau with its interval, as text."""
    rho = correlation_parts(correlation.rho, correlation.rho_interval)
    return (str(correlation.n), *rho, *correlation_parts(correlation.tau, correlation.tau_interval))


def correlation_parts(value: float, bounds: Interval, signed: bool = False) -> tuple[str, str]:
    """Returns a coefficient, or a difference of two, and its interval, as text."""
    form = "{:+.2f}" if signed else "{:.2f}"
    if math.isnan(value):
        return NONE, NONE
    return form.format(value), f"[{form.format(bounds[0])}, {form.format(bounds[1])}]"
