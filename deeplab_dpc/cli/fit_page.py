"""The page index.html of `fit`: the verdict, pictures, classes, plan, contest, cell, curves, and commands."""

import pathlib
import shlex
from typing import Any

from deeplab_dpc.cli.fit_plan_file import Plan
from deeplab_dpc.cli.fit_state import STAGES, Stages, clock
from deeplab_dpc.cli.fit_verdict import BASELINE, read_metrics, read_verdict
from deeplab_dpc.evaluation.advice import BAD
from deeplab_dpc.files import read_json
from deeplab_dpc.search.reporting.report_page import Picture, ReportSection, write_page

INDEX = "index.html"
NO_ADVICE = f"No class has an IoU below {100 * BAD:.0f} %."


def write_index(root: pathlib.Path, plan: Plan, stages: Stages, more: str, longer: str) -> None:
    """Writes index.html from the results of the stages.

    Args:
      root: path of the workdir.
      plan: the plan.
      stages: record of the stages.
      more: command line that continues the training.
      longer: command line of another `fit` with more time, which starts from the exported network.
    """
    verdict = read_verdict(root)
    run = root / verdict["run"]
    sections = [
        _verdict(root, verdict, plan, stages),
        _pictures(run),
        class_section(run, plan),
        _plan(plan),
        _contest(root) if plan["search"] else None,
        _curves(root, run),
        _use(root, more, longer),
        _time(stages),
    ]
    write_page(root, [one for one in sections if one is not None], verdict["sentence"], INDEX)


def _verdict(root: pathlib.Path, verdict: dict[str, Any], plan: Plan, stages: Stages) -> ReportSection:
    text = f"The exported network is {root / verdict['run']}."
    took = f"Time: {clock(stages.used)} of {clock(stages.seconds)}."
    if verdict["over"] is None:  # only the baseline was trained
        return ReportSection("In short", "\n\n".join(filter(None, (verdict["note"], text, took))))
    has_contest = bool(plan["search"])
    by = "Which of the two is exported was decided on val"
    by += ", and so was the contest's choice of the cell" if has_contest else ""
    text += (
        f" {by}, so that its mIOU on val is slightly too high; a split test, if there is one, is evaluated once and "
        "used for no choice."
    )
    over = (
        "The two were trained for different numbers of steps: the difference shows the gain from additional time, not "
        "which network is better."
    )
    more = " The contest below compares designs at equal steps." if has_contest else ""
    return ReportSection("In short", "\n\n".join(filter(None, (verdict["note"], text, f"{over}{more}", took))))


def _pictures(run: pathlib.Path) -> ReportSection | None:
    figures = [
        *_figure(run / "predictions.png", "Image, label and prediction of some images of val"),
        *_figure(run / "eval_val" / "worst.png", "The worst images of val, with wrong pixels in colour"),
        *_figure(
            run / "eval_val" / "confusion.png", "Confusion matrix: which classes are predicted in place of others"
        ),
    ]
    return ReportSection("Predictions", figures=figures) if figures else None


def class_section(run: pathlib.Path, plan: Plan) -> ReportSection | None:
    """Returns the table of classes with the advice of the evaluation; None without an evaluation."""
    metrics = read_metrics(run, "val")
    if metrics is None:
        return None
    bounds = metrics["intervals"]["per_class_iou"]
    rows = []
    for name, iou in metrics["per_class_iou"].items():
        span = bounds.get(name)
        rows.append(
            (
                name,
                "-" if iou is None else f"{100 * iou:.1f}",
                "-" if span is None else f"{100 * span[0]:.1f} to {100 * span[1]:.1f}",
                f"{100 * plan.data.shares.get(name, 0):.2f}",
                f"{plan.data.cells[name]:.1f}" if name in plan.data.cells else "-",
            )
        )
    columns = ("class", "IoU %", "95 % interval", "% of train", "feature cells a side")
    text = "\n\n".join(metrics.get("advice", ())) or NO_ADVICE
    return ReportSection("Classes", text, tables=[("On val", columns, rows)])


def _plan(plan: Plan) -> ReportSection:
    # Two columns fit on the screen of a phone.
    table = ("Choices and reasons", ("choice", "why"), [(f"{name} = {value}", why) for name, value, why in plan.rows()])
    return ReportSection("The plan", "\n\n".join(plan.description()), tables=[table])


def _contest(root: pathlib.Path) -> ReportSection:
    search = root / "search"
    found = read_json(search / "verdict.json", "verdict of the search")
    rows = []
    for row in read_json(search / "results.json", "search results"):
        contest = row["contest"]
        if contest is not None:
            name = f"{row['name']} *" if row["is_best"] else row["name"]
            seeds = " ".join(f"{100 * one:.2f}" for one in contest["miou_by_seed"])
            chance = f"{100 * contest['probability']:.0f} %"
            rows.append((name, f"{100 * row['reranked_miou']:.2f}", seeds, f"{contest['steps']:,}", chance))
    rows.sort(key=lambda row: -float(row[1]))
    columns = ("finalist", "mIOU %", "by seed", "steps", "probability of being the best")
    tables = [("Finalists, trained end to end from the baseline's backbone", columns, rows)] if rows else []
    text = f"{found['sentence']}\n\nThe full report of the search is {search / 'report.html'}."
    return ReportSection("Search and contest", text, _figure(search / "cells" / "best.png", "The best cell"), tables)


def _curves(root: pathlib.Path, run: pathlib.Path) -> ReportSection | None:
    figures = [
        *_figure(root / "baseline" / "curves.png", "The baseline's training"),
        *(_figure(run / "curves.png", "The last training") if run.name != BASELINE else []),
    ]
    return ReportSection("Curves", figures=figures) if figures else None


def _use(root: pathlib.Path, more: str, longer: str) -> ReportSection:
    typed, model = (shlex.quote(str(path)) for path in (root, root / "model.tflite"))
    rows = [
        ("predict photographs", f"deeplab-dpc predict --workdir={typed} --images=FOLDER --output_dir=P"),
        ("a web page to drop images on", f"deeplab-dpc predict --workdir={typed} --serve"),
        (
            "the same with the TFLite file",
            f"deeplab-dpc predict --exported_model={model} --images=FOLDER --output_dir=P",
        ),
        ("evaluate again", f"deeplab-dpc eval --workdir={typed} --split=val"),
        (
            "a TFLite file for larger images, or of 8-bit integers",
            f"deeplab-dpc export --workdir={typed} --export_tflite=F.tflite --export_size=1025,1025 --tflite_type=int8",
        ),
        ("an ONNX file", f"deeplab-dpc export --workdir={typed} --export_onnx=F.onnx"),
        ("train this network for twice the steps", more),
        ("more time, from this network", longer),
    ]
    text = (
        "Run these commands in the folder in which fit was started. The TFLite file takes images up to the size of the "
        "largest image of val; the SavedModel takes images of any size."
    )
    return ReportSection("How to use it", text, tables=[("Commands", ("what", "command"), rows)])


def _time(stages: Stages) -> ReportSection:
    seconds = {name: stages.seconds_of(name) for name in STAGES}
    rows = [(name, what, "left out" if (one := seconds[name]) is None else clock(one)) for name, what in STAGES.items()]
    return ReportSection("Time", tables=[("Stages", ("stage", "what", "time"), rows)])


def _figure(path: pathlib.Path, caption: str) -> list[Picture]:
    return [(caption, path.read_bytes())] if path.exists() else []
