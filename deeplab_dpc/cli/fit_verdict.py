"""verdict.json of `fit`: which network ships, its mIOU with interval, what it beat and by how much."""

import pathlib
from typing import Any

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.library import shipped_cells
from deeplab_dpc.cli.fit_plan_file import Plan
from deeplab_dpc.files import read_json, write_json

VERDICT_FILE = "verdict.json"
BASELINE, FINAL = "baseline", "final"


def read_verdict(root: pathlib.Path) -> dict[str, Any]:
    value: dict[str, Any] = read_json(root / VERDICT_FILE, "verdict")
    return value


def write_verdict(root: pathlib.Path, plan: Plan) -> dict[str, Any]:
    """Writes it from the evaluations and their comparison, and returns it."""
    comparison = read_json(root / "comparison" / "comparison.json", "comparison")["miou"]
    shipped = FINAL if comparison["difference"] >= 0 else BASELINE
    metrics = read_metrics(root / shipped, "val")
    assert metrics is not None
    names = {BASELINE: _baseline(plan), FINAL: _final(root, plan)}
    difference, bounds = comparison["difference"], comparison["interval"]
    if shipped == BASELINE:
        difference, bounds = -difference, bounds and [-bounds[1], -bounds[0]]
    other = names[FINAL if shipped == BASELINE else BASELINE]
    clear = "" if comparison["excludes_0"] else ", not clearly"
    spread = f" ({100 * bounds[0]:+.2f} to {100 * bounds[1]:+.2f}{clear})" if bounds else ""
    count = metrics["num_images"]
    miou = _percent(metrics["miou"], metrics["intervals"]["miou"])
    sentence = (
        f"mIOU {miou} on the {count} images of val: {names[shipped]}, "
        f"{100 * difference:.2f} points{spread} over {other}."
    )
    test = read_metrics(root / shipped, "test")
    if test is not None:
        on_test = _percent(test["miou"], test["intervals"]["miou"])
        sentence += f" On the {test['num_images']} images of test, which nothing was chosen by: {on_test}."
    verdict = {
        "sentence": sentence,
        "shipped": shipped,
        "run": str(root / shipped),
        "miou": metrics["miou"],
        "interval": metrics["intervals"]["miou"],
        "over": {"what": other, "difference": difference, "interval": bounds, "excludes_0": comparison["excludes_0"]},
        "test_miou": None if test is None else test["miou"],
    }
    write_json(root / VERDICT_FILE, verdict)
    return verdict


def read_metrics(run: pathlib.Path, split: str) -> dict[str, Any] | None:
    """Returns metrics.json of an evaluation; None if there is none."""
    path = run / f"eval_{split}" / "metrics.json"
    if not path.exists():
        return None
    value: dict[str, Any] = read_json(path, "evaluation")
    return value


def _baseline(plan: Plan) -> str:
    return f"the baseline (DeepLabv3+ with ASPP, {plan['baseline_steps']:,} steps)"


def _final(root: pathlib.Path, plan: Plan) -> str:
    steps = plan["training_number_of_steps"]
    if not plan["search"]:
        return f"DeepLabv3+ with ASPP, trained on to {steps:,} steps"
    best = read_json(root / "search" / "verdict.json", "verdict of the search")["best"]
    cell = Cell.from_json(best["cell"])
    known = next((name for name, one in shipped_cells().items() if one.digest() == cell.digest()), None)
    named = f"the cell {known}" if known else "a found cell"
    return f"DeepLabv3+ with {named}, {steps:,} steps after the baseline's backbone"


def _percent(value: float, bounds: list[float] | None) -> str:
    spread = f" % (95 % interval {100 * bounds[0]:.2f} to {100 * bounds[1]:.2f})" if bounds else " %"
    return f"{100 * value:.2f}{spread}"
