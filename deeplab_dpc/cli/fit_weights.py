"""The label weights of `fit` after its baseline, whose evaluation shows whether rare classes are recognised."""

import pathlib
from collections.abc import Mapping

from deeplab_dpc.cli.fit_plan_file import Plan
from deeplab_dpc.cli.fit_verdict import read_metrics
from deeplab_dpc.data.inspection import REPORT_FILE
from deeplab_dpc.evaluation.advice import BAD, RARE
from deeplab_dpc.files import read_json

WEIGHTS_AFTER = "label_weights after the baseline"  # name of the choice in the plan


def decide_weights(plan: Plan, check: pathlib.Path, baseline: pathlib.Path) -> None:
    """Decides on weights of rare classes for all trainings after the baseline, unless weights are given.

    Args:
      plan: plan of `fit`, to which the choice is added.
      check: directory of check_data's report.
      baseline: run directory of the baseline, with its evaluation.
    """
    metrics = read_metrics(baseline, "val")
    if plan.choices["label_weights"].given or metrics is None:
        return
    balanced = read_json(check / REPORT_FILE, "report of check_data")["label_weights"]["weights"]
    plan.decide(WEIGHTS_AFTER, *weights_of_rare(plan.data.shares, balanced, metrics["per_class_iou"]))


def weights_of_rare(
    shares: Mapping[str, float], balanced: Mapping[str, float], iou: Mapping[str, float | None]
) -> tuple[str, str]:
    """Returns the value of --label_weights, and the reason; an empty value for none.

    Args:
      shares: share of each class in the labelled pixels of train, by name.
      balanced: weight of each class by median frequency balancing, by name, in the order of the ids.
      iou: IoU of each class in the evaluation of the baseline, in [0, 1], by name; None for an absent class.
    """
    bad = [name for name, share in shares.items() if 0 < share < RARE and (iou.get(name) or 0.0) < BAD]
    if not bad:
        return "", f"no class of less than {100 * RARE:g} % of the labels has an IoU below {100 * BAD:g} %"
    weights = ",".join(f"{weight**0.5:.3g}" for weight in balanced.values())
    return weights, f"{', '.join(bad)}: rare, IoU below {100 * BAD:g} %; roots of median frequency balancing"
