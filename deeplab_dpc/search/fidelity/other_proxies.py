"""Comparison of measurements with several proxies, which share their real trainings."""

import pathlib
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from deeplab_dpc.errors import UserError, shown
from deeplab_dpc.search.fidelity.analysis import ALL, PREDICTORS, Analysis, Predictor, Scope, analyse, predictors
from deeplab_dpc.search.fidelity.measurement import FidelityResult, RealScore, read_fidelity
from deeplab_dpc.search.rank_correlation import LEAST_POINTS
from deeplab_dpc.search.reporting.report_page import Table
from deeplab_dpc.search.words import NONE, correlation_words, points

THIS = "this one"
COLUMNS = ("measurement", "predictor", "n", "rho", "95 %", "tau", "regret@1", "regret@3", "s a cell")


def read_others(workdirs: Iterable[str]) -> dict[str, FidelityResult]:
    """Reads the measurements in the workdirs that --fidelity_compare names.

    Returns:
      The measurements by workdir, in their order.

    Raises:
      UserError: if one has no measurement.
    """
    others = {}
    for workdir in workdirs:
        other = read_fidelity(pathlib.Path(workdir))
        if other is None:
            raise UserError(
                f"--fidelity_compare: {workdir} holds no finished measurement; run --mode=fidelity with "
                f"--workdir={workdir} first."
            )
        others[workdir] = other
    return others


def require_same_protocol(others: Mapping[str, FidelityResult], protocol: Mapping[str, Any]) -> None:
    """Raises a UserError if the real trainings of a measurement had another protocol than these will have."""
    for workdir, other in others.items():
        names = sorted(protocol.keys() | other.protocol.keys())
        different = [
            f"{name} (there {shown(other.protocol.get(name))}, here {shown(protocol.get(name))})"
            for name in names
            if protocol.get(name) != other.protocol.get(name)
        ]
        if different:
            raise UserError(
                f"--fidelity_compare: the real trainings in {workdir} had another protocol, so that their scores "
                f"cannot be compared with these: {', '.join(different)}; give the same flags."
            )


def known_reals(others: Mapping[str, FidelityResult]) -> dict[tuple[str, int], RealScore]:
    """Returns the real scores of all measurements, by the cell's digest and the seed; of several the first is used."""
    known: dict[tuple[str, int], RealScore] = {}
    for other in others.values():
        for row in other.rows:
            for place, real in enumerate(row.reals):
                known.setdefault((row.cell.digest(), other.search.seed + place), real)
    return known


def comparison_table(result: FidelityResult, others: Mapping[str, FidelityResult]) -> Table | None:
    """Returns the table of how well each proxy ranks the cells that all measurements have.

    The result is None if there are no other measurements, or they have too few cells in common.
    """
    if not others:
        return None
    measurements = {THIS: result, **others}
    digests = [{row.cell.digest() for row in one.rows} for one in measurements.values()]
    shared = set.intersection(*digests)
    if len(shared) < LEAST_POINTS:
        return None
    rows = []
    for name, one in measurements.items():
        analysis = analyse(Scope(ALL, [row for row in one.rows if row.cell.digest() in shared]))
        seconds = statistics.median(row.proxy.seconds for row in analysis.scope.rows)
        trained = [predictor for predictor in predictors(analysis.scope.rows) if not predictor.is_trivial]
        rows += [_line(name, predictor, analysis, f"{seconds:.1f}") for predictor in trained]
    trivial = [predictor for predictor in PREDICTORS if predictor.is_trivial]
    rows += [_line(NONE, predictor, analysis, NONE) for predictor in trivial]  # the same for all
    return (f"Comparison of the proxies, on the {len(shared)} cells that all have", COLUMNS, rows)


def proxy_sentences(result: FidelityResult, others: Mapping[str, FidelityResult]) -> list[str]:
    """Returns a sentence on the proxy of each measurement; empty if there are no other measurements."""
    measurements = {THIS: result, **others} if others else {}
    return [f"The proxy of {name}: {one.proxy}." for name, one in measurements.items()]


def _line(measurement: str, predictor: Predictor, analysis: Analysis, seconds: str) -> tuple[str, ...]:
    found, regret = analysis.correlations[predictor.name], analysis.regrets[predictor.name]
    figures = correlation_words(found)
    return (measurement, predictor.name, *figures[:-1], points(regret.of_first), points(regret.of_first_three), seconds)
