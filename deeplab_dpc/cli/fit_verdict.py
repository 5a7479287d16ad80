"""The file verdict.json of `fit`: the exported network, its mIOU with interval, and its advantage over the other."""

import pathlib
from typing import Any

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.library import shipped_cells
from deeplab_dpc.cli.fit_plan_file import Plan
from deeplab_dpc.errors import first_few
from deeplab_dpc.files import read_json, write_json
from deeplab_dpc.run_config import FIT_VERDICT

BASELINE = "baseline"  # name of its run directory
FEW_EPOCHS = 20  # after fewer, a network is far from what it can learn from the images


def read_verdict(root: pathlib.Path) -> dict[str, Any]:
    value: dict[str, Any] = read_json(root / FIT_VERDICT, "verdict")
    return value


def write_verdict(root: pathlib.Path, plan: Plan) -> dict[str, Any]:
    """Writes the verdict from the evaluations and their comparison, and returns it.

    `run` is the exported run, relative to the workdir; `over` is None if nothing was trained after the baseline.
    """
    last = plan["last_run"]
    shipped, over = last, None
    if last != BASELINE:
        comparison = read_json(root / "comparison" / "comparison.json", "comparison")["miou"]
        difference, bounds = comparison["difference"], comparison["interval"]
        names = (_last(root, plan), _baseline(plan))
        if difference < 0:
            shipped, difference, names = BASELINE, -difference, names[::-1]
            bounds = bounds and [-bounds[1], -bounds[0]]
        over = {
            "best": names[0],
            "other": names[1],
            "difference": difference,
            "interval": bounds,
            "excludes_0": comparison["excludes_0"],
        }
    metrics, test = read_metrics(root / shipped, "val"), read_metrics(root / shipped, "test")
    assert metrics is not None
    sentence = f"mIOU {_percent(metrics)} on the {metrics['num_images']} images of val: "
    sentence += f"{_baseline(plan)}, since no time was left for more." if over is None else _over(over)
    if test is not None:
        sentence += (
            f" On the {test['num_images']} images of test, which were not used for any choice: {_percent(test)}."
        )
    verdict = {
        "sentence": sentence,
        "note": _note(root, plan, shipped),
        "run": shipped,
        "miou": metrics["miou"],
        "interval": metrics["intervals"]["miou"],
        "over": over,
        "test_miou": None if test is None else test["miou"],
    }
    write_json(root / FIT_VERDICT, verdict)
    return verdict


def _note(root: pathlib.Path, plan: Plan, shipped: str) -> str:
    """Returns remarks on classes that were not learned, and on a training that was short; empty without either."""
    metrics = read_metrics(root / shipped, "val")
    assert metrics is not None
    unknown = [name for name, iou in metrics["per_class_iou"].items() if iou == 0]
    found = f"The network does not recognise {first_few(unknown, 5)} (IoU 0). " if unknown else ""
    steps = plan["baseline_steps"] if shipped == BASELINE else _last_steps(plan)
    if steps is None:
        steps = read_json(root / "search" / "verdict.json", "verdict of the search")["best"]["steps"]
    epochs = steps * plan["train_batch_size"] / plan.data.train
    if epochs >= FEW_EPOCHS:
        return found.strip()
    return found + (
        f"Its last training has seen each image of train {epochs:.1f} times, which is little: a longer training would "
        "probably improve it (--hours, with another --workdir)."
    )


def _over(over: dict[str, Any]) -> str:
    bounds = over["interval"]
    clear = "" if over["excludes_0"] else ", not clearly"
    spread = f" ({100 * bounds[0]:+.2f} to {100 * bounds[1]:+.2f}{clear})" if bounds else ""
    return f"{over['best']}, {100 * over['difference']:.2f} points{spread} over {over['other']}."


def read_metrics(run: pathlib.Path, split: str) -> dict[str, Any] | None:
    """Returns the contents of metrics.json of an evaluation; None if there is none."""
    path = run / f"eval_{split}" / "metrics.json"
    if not path.exists():
        return None
    value: dict[str, Any] = read_json(path, "evaluation")
    return value


def _baseline(plan: Plan) -> str:
    return f"the baseline (DeepLabv3+ with ASPP, {plan['baseline_steps']:,} steps)"


def _last(root: pathlib.Path, plan: Plan) -> str:
    if not plan["search"]:
        return f"DeepLabv3+ with ASPP, trained on to {_last_steps(plan):,} steps"
    best = read_json(root / "search" / "verdict.json", "verdict of the search")["best"]
    cell = Cell.from_json(best["cell"])
    known = next((name for name, one in shipped_cells().items() if one.digest() == cell.digest()), None)
    named = f"the cell {known}" if known else "a found cell"
    steps = _last_steps(plan) or best["steps"]
    return f"DeepLabv3+ with {named}, {steps:,} steps from the baseline's backbone"


def _last_steps(plan: Plan) -> int | None:
    """Returns the number of steps of the last training; None if there is none."""
    steps: int | None = plan.get("trained_steps", plan.get("training_number_of_steps"))
    return steps


def _percent(metrics: dict[str, Any]) -> str:
    bounds = metrics["intervals"]["miou"]
    spread = f" (95 % interval {100 * bounds[0]:.2f} to {100 * bounds[1]:.2f})" if bounds else ""
    return f"{100 * metrics['miou']:.2f} %{spread}"
