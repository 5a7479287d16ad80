"""The report of a measurement: tables, figures and sentences, as a section of the search's report and as files."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from deeplab_dpc.console import console, print_table
from deeplab_dpc.files import atomic_path, write_json
from deeplab_dpc.search.fidelity.analysis import ALL, PROXY, Analysis, Regret, analyse, scopes
from deeplab_dpc.search.fidelity.figures import predictors_figure, proxy_figure
from deeplab_dpc.search.fidelity.measurement import (
    MIXED,
    SUBSET,
    TOP,
    FidelityResult,
    FidelityRow,
    read_fidelity,
    write_rows,
)
from deeplab_dpc.search.fidelity.other_proxies import comparison_table, proxy_sentences
from deeplab_dpc.search.rank_correlation import Correlation, Difference, Interval
from deeplab_dpc.search.reporting.report_page import ReportSection, Table, write_page
from deeplab_dpc.search.words import (
    NONE,
    billions,
    correlation_parts,
    correlation_words,
    count,
    duration,
    millions,
    points,
    score,
)

TITLE = "Fidelity"
CORRELATIONS_FILE = "correlations.json"
CAPTIONS = {
    "proxy": "Score by proxy (the search's seed) against the mean score of real training, a point a cell.",
    "predictors": "What may predict the score of real training: the proxy's signals, and figures without training.",
}
PAPER_RHO = {SUBSET: 0.47}  # arXiv:1809.04184, Sec. 4.1: cached features against end-to-end training, Cityscapes
CAUTION = {
    TOP: "These were chosen by their proxy score, so that it differs little among them and is too high by chance.",
    MIXED: "Warm starts, uniform draws and neighbours may differ as wholes, as in a search.",
    ALL: "The groups may differ from each other, which alone causes a correlation over all cells.",
}
COLUMNS = ("predictor", "n", "rho", "95 %", "tau", "95 % of tau", "regret@1", "regret@3")
REGRET = (
    "regret@k is how many points of real mIOU are lost if only the first k cells of a predictor are trained end to "
    "end: the best real score of all less the best of those."
)


def write_fidelity(folder: pathlib.Path, result: FidelityResult, others: Mapping[str, FidelityResult]) -> None:
    """Writes results.json, fidelity.csv, correlations.json, report.html and its pictures, proxy.png, predictors.png.

    Args:
      folder: folder for the files.
      result: measurement to report.
      others: measurements with other proxies, by workdir, with which a table compares this one.
    """
    analyses = [analyse(scope) for scope in scopes(result)]
    section = _section(result, analyses, others)
    write_rows(folder, result)
    write_json(folder / CORRELATIONS_FILE, [_analysis_json(analysis) for analysis in analyses])
    write_page(folder, [section])
    for name, (_, picture) in zip(CAPTIONS, section.figures, strict=False):
        with atomic_path(folder / f"{name}.png") as partial:
            partial.write_bytes(picture)


def fidelity_sections(workdir: pathlib.Path) -> list[ReportSection]:
    """Returns the section on the measurement for the report of the search in `workdir`; empty if there is none."""
    result = read_fidelity(workdir)
    return [] if result is None else [fidelity_section(result)]


def fidelity_section(result: FidelityResult) -> ReportSection:
    """Returns the section on a measurement for the search's report."""
    return _section(result, [analyse(scope) for scope in scopes(result)], {})


def _section(
    result: FidelityResult, analyses: Sequence[Analysis], others: Mapping[str, FidelityResult]
) -> ReportSection:
    pictures = [proxy_figure(result), predictors_figure(result, analyses)] if analyses else []
    figures = list(zip(CAPTIONS.values(), pictures, strict=False))
    said = [*sentences(result, analyses), *proxy_sentences(result, others)]
    return ReportSection(TITLE, "\n\n".join(said), figures, tables(result, analyses, others))


def print_fidelity(result: FidelityResult, others: Mapping[str, FidelityResult]) -> None:
    """Prints the tables and the sentences."""
    analyses = [analyse(scope) for scope in scopes(result)]
    for title, columns, rows in tables(result, analyses, others):
        print_table(title, columns, rows)
    for sentence in [*sentences(result, analyses), *proxy_sentences(result, others)]:
        console.print(sentence)


def tables(result: FidelityResult, analyses: Sequence[Analysis], others: Mapping[str, FidelityResult]) -> list[Table]:
    """Returns the tables of the comparison with other proxies, of each scope's correlations, and of the cells."""
    comparison = comparison_table(result, others)
    return [
        *([comparison] if comparison else []),
        *map(_correlation_table, analyses),
        *([_cell_table(result.rows)] if result.rows else []),
    ]


def sentences(result: FidelityResult, analyses: Sequence[Analysis]) -> list[str]:
    """Returns sentences on the results and on their limits."""
    if not analyses:
        return ["No cell has both scores."]
    whole = [analysis for analysis in analyses if not analysis.scope.is_top_fifth]
    fifths = [str(len(analysis.scope.rows)) for analysis in analyses if analysis.scope.is_top_fifth]
    said = [_setting(result), *map(_finding, whole), REGRET]
    said.append(
        f"The top fifth by real score are {_listed(fifths)} cells: too few for a conclusion, as their intervals show. "
        "The intervals show how much depends on which cells are measured, not the noise of the trainings"
        + (", which the correlations between seeds show." if result.config.fidelity_seeds > 1 else ".")
    )
    if result.config.fidelity_seeds == 1:
        said.append(
            "Each cell was trained once, so how far two trainings of the same cell rank alike, which no proxy can "
            "exceed by much, is not known; --fidelity_seeds=2 measures it."
        )
    if result.missing:
        names = ", ".join(result.missing)
        said.append(f"Given up, since their workers died again and again: {names}; --retry_given_up tries again.")
    return said


def _setting(result: FidelityResult) -> str:
    search = result.search
    proxy = math.fsum(row.proxy_seconds for row in result.rows)
    real = math.fsum(row.real_seconds for row in result.rows)
    return (
        f"{count(len(result.rows), 'cell')}, each trained by proxy for {search.proxy_steps} steps and end to end for "
        f"{search.rerank_steps}, with {count(result.config.fidelity_seeds, 'seed')}. The proxy took {duration(proxy)} "
        f"in all, real training {duration(real)}: {real / max(proxy, 1e-9):.1f} times as long."
    )


def _finding(analysis: Analysis) -> str:
    found = analysis.correlations[PROXY.name]
    group, name = analysis.scope.group, analysis.scope.name
    if found.undefined:
        return f"Over the {name}, the proxy has no rank correlation: {found.undefined}."
    paper = f" (the paper: {PAPER_RHO[group]} on Cityscapes)" if group in PAPER_RHO else ""
    said = [f"Over the {name} (n = {found.n}) the proxy ranks with rho {_figure(found.rho, found.rho_interval)}{paper}"]
    said[0] += "." if _excludes_zero(found.rho_interval) else "; the interval includes 0, which is chance."
    if group in CAUTION:
        said.append(CAUTION[group])
    if analysis.comparison is not None:
        difference = analysis.comparison.difference
        said.append(
            f"The best trivial predictor there, chosen afterwards, is {analysis.comparison.baseline}; the proxy's rho "
            f"minus its rho is {_figure(difference.value, difference.interval, signed=True)}: {_verdict(difference)}"
        )
    said += [
        f"Between {what}, rho is {_figure(correlation.rho, correlation.rho_interval)}."
        for what, correlation in analysis.between_seeds.items()
        if not correlation.undefined
    ]
    return " ".join(said)


def _verdict(difference: Difference) -> str:
    if not _excludes_zero(difference.interval):
        return "which of them ranks better is not settled by so many cells."
    return "the proxy ranks better." if difference.value > 0 else "the proxy ranks worse."


def _excludes_zero(interval: Interval) -> bool:
    return interval[0] > 0 or interval[1] < 0


def _correlation_table(analysis: Analysis) -> Table:
    rows = [_row(name, one, analysis.regrets[name]) for name, one in analysis.correlations.items()]
    rows += [_row(f"between {name}", one) for name, one in analysis.between_seeds.items()]
    if analysis.comparison is not None:
        difference = analysis.comparison.difference
        value, interval = correlation_parts(difference.value, difference.interval, signed=True)
        name = f"proxy mIOU against {analysis.comparison.baseline}"
        rows.append((name, str(difference.n), value, interval, *[NONE] * 4))
    return (f"Rank correlation with real training: {analysis.scope.name}", COLUMNS, rows)


def _row(name: str, correlation: Correlation, regret: Regret | None = None) -> tuple[str, ...]:
    lost = (NONE, NONE) if regret is None else (points(regret.of_first), points(regret.of_first_three))
    return (name, *correlation_words(correlation), *lost)


def _cell_table(rows: Sequence[FidelityRow]) -> Table:
    proxy_rank = {
        row.cell.digest(): rank for rank, row in enumerate(sorted(rows, key=lambda row: -row.proxy.miou), start=1)
    }
    ordered = sorted(rows, key=lambda row: -row.real_miou)
    columns = ("name", "real", "proxy", "proxy rank", "parameters", "multiply-adds", "cell")
    return (
        "Cells by their real score",
        columns,
        [
            (
                row.name,
                score(row.real_miou),
                score(row.proxy.miou),
                str(proxy_rank[row.cell.digest()]),
                millions(row.cost.parameters),
                billions(row.cost.multiply_adds),
                row.cell.summary(),
            )
            for row in ordered
        ],
    )


def _figure(value: float, interval: Interval, signed: bool = False) -> str:
    return " ".join(correlation_parts(value, interval, signed))


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _analysis_json(analysis: Analysis) -> dict[str, Any]:
    comparison = analysis.comparison
    return {
        "cells": analysis.scope.name,
        "correlations": {name: _json(one) for name, one in analysis.correlations.items()},
        "regrets": {name: dataclasses.asdict(one) for name, one in analysis.regrets.items()},
        "between_seeds": {name: _json(one) for name, one in analysis.between_seeds.items()},
        "best_baseline": None if comparison is None else comparison.baseline,
        "proxy_less_baseline": None if comparison is None else _json(comparison.difference),
    }


def _json(figures: Correlation | Difference) -> dict[str, Any]:
    return {name: _plain(value) for name, value in vars(figures).items()}


def _plain(value: Any) -> Any:
    """Returns a value as JSON, with None in place of nan."""
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value
