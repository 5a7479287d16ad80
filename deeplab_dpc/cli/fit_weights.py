"""The label weights of `fit`: roots of median frequency balancing, if there are rare classes.

A short training has them from its beginning. Otherwise the evaluation of the baseline decides, which shows whether rare
classes are recognised without them.
"""

import dataclasses
import pathlib
from collections.abc import Mapping

from deeplab_dpc.cli.fit_plan_file import Plan
from deeplab_dpc.cli.fit_schedule import Fingerprint
from deeplab_dpc.cli.fit_verdict import read_metrics
from deeplab_dpc.data.inspection import REPORT_FILE
from deeplab_dpc.evaluation.advice import BAD, RARE
from deeplab_dpc.files import read_json

WEIGHTS_AFTER = "label_weights after the baseline"  # name of the choice in the plan


def weights_of_short_training(data: Fingerprint) -> tuple[str, str]:
    """Returns the value of --label_weights for all trainings of a short plan, and the reason; empty for none."""
    rare = [name for name, share in data.shares.items() if 0 < share < RARE]
    if not rare:
        return "", f"none: no class has less than {100 * RARE:g} % of the labels"
    reason = f"{', '.join(rare)}: rare, and a short training hardly learns rare classes without weights"
    return _roots(data.weights), f"{reason}; roots of median frequency balancing"


def decide_weights(plan: Plan, check: pathlib.Path, baseline: pathlib.Path) -> None:
    """Decides on weights of rare classes for all trainings after the baseline, unless the baseline already has some.

    Args:
      plan: plan of `fit`, to which the choice is added.
      check: directory of check_data's report, for plans of earlier versions, which do not have the weights.
      baseline: run directory of the baseline, with its evaluation.
    """
    metrics, chosen = read_metrics(baseline, "val"), plan.choices["label_weights"]
    if chosen.given or chosen.value or metrics is None:
        return
    weights = plan.data.weights or read_json(check / REPORT_FILE, "report of check_data")["label_weights"]["weights"]
    data = dataclasses.replace(plan.data, weights=weights)
    plan.decide(WEIGHTS_AFTER, *weights_of_rare(data, metrics["per_class_iou"]))


def weights_of_rare(data: Fingerprint, iou: Mapping[str, float | None]) -> tuple[str, str]:
    """Returns the value of --label_weights, and the reason; an empty value for none.

    Args:
      data: fingerprint of the data.
      iou: IoU of each class in the evaluation of the baseline, in [0, 1], by name; None for an absent class.
    """
    bad = [name for name, share in data.shares.items() if 0 < share < RARE and (iou.get(name) or 0.0) < BAD]
    if not bad:
        return "", f"no class of less than {100 * RARE:g} % of the labels has an IoU below {100 * BAD:g} %"
    reason = f"{', '.join(bad)}: rare, IoU below {100 * BAD:g} %; roots of median frequency balancing"
    return _roots(data.weights), reason


def _roots(weights: Mapping[str, float]) -> str:
    return ",".join(f"{weight**0.5:.3g}" for weight in weights.values())
