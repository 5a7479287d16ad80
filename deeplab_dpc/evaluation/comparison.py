"""Comparison of two evaluations of the same images: differences with the paired bootstrap over images.

The metrics of both evaluations are computed from the same resamples, so that the difficulty of an image for both
cancels out: the interval of the difference is narrower than the intervals of the two metrics suggest.
"""

import dataclasses
import math
import pathlib
from typing import Any

import numpy as np

from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.bootstrap import Bootstrap, interval
from deeplab_dpc.evaluation.measures import Measured
from deeplab_dpc.evaluation.stored import PER_IMAGE_FILE, StoredEvaluation, evaluation_folder
from deeplab_dpc.run_config import CONFIG_FILE, shipped_run


@dataclasses.dataclass(frozen=True)
class Difference:
    """A metric of two evaluations.

    Attributes:
      first, second: values of the metric in [0, 1]; nan for an absent class.
      low, high: bounds of the 95 % interval of second - first; nan if there is none.
    """

    first: float
    second: float
    low: float
    high: float

    @property
    def value(self) -> float:
        """Returns second - first."""
        return self.second - self.first

    @property
    def is_clear(self) -> bool:
        """Returns whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The comparison of two evaluations.

    Attributes:
      num_images: number of images of each evaluation.
      summary: differences by metric name.
      each: differences of the IoU by metric name and class or category.
      left_out: titles of measures that only one evaluation has, or that have different settings.
    """

    num_images: int
    summary: dict[str, Difference]
    each: dict[str, dict[str, Difference]]
    left_out: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "num_images": self.num_images,
            **{name: _json(difference) for name, difference in self.summary.items()},
            **{name: {key: _json(one) for key, one in each.items()} for name, each in self.each.items()},
        }


def find_evaluation(path: str | pathlib.Path, split: str) -> pathlib.Path:
    """Returns the directory of an evaluation.

    Args:
      path: path of that directory, or of the run directory, directory of `fit` or --eval_logdir that contains it.
      split: name of the evaluated split.

    Raises:
      UserError: if there is no evaluation; the message names the command that makes one.
    """
    run = shipped_run(path, "compare")
    folders = (pathlib.Path(path), evaluation_folder(run, split))
    for folder in folders:
        if (folder / PER_IMAGE_FILE).exists():
            return folder
    if not folders[0].is_dir():
        raise UserError(f"--compare: {path} is not a directory; give two runs, or two directories of evaluations.")
    place = f"--workdir={path}" if (run / CONFIG_FILE).exists() else f"--workdir=RUN --eval_logdir={path}"
    raise UserError(
        f"--compare: {path} has no evaluation of the split {split}; make it with deeplab-dpc eval {place} "
        f"--split={split}."
    )


def compare(first: StoredEvaluation, second: StoredEvaluation, bootstrap: Bootstrap) -> Comparison:
    """Returns the differences second - first of all metrics that both evaluations have.

    Raises:
      UserError: if the evaluations do not have the same images, labels and classes.
    """
    _require_same(first, second)
    of_second = {one.measure.key: one for one in second.measured}
    summary: dict[str, Difference] = {}
    each: dict[str, dict[str, Difference]] = {}
    compared: list[str] = []
    for one in first.measured:
        other = of_second.get(one.measure.key)
        if other is None or (one.names, one.setting) != (other.names, other.setting):
            continue
        compared.append(one.measure.title)
        parts = _differences(one, other, bootstrap)
        summary |= parts[0]
        each[one.measure.each] = parts[1]
    titles = dict.fromkeys(one.measure.title for one in (*first.measured, *second.measured))
    left_out = tuple(title for title in titles if title not in compared)
    return Comparison(len(first.measured[0].counts.names), summary, each, left_out)


def _differences(
    one: Measured, other: Measured, bootstrap: Bootstrap
) -> tuple[dict[str, Difference], dict[str, Difference]]:
    measure = one.measure
    first, second = (measure.scores(counts.sums()) for counts in (one.counts, other.counts))
    samples, others = (measure.scores(bootstrap.sums(counts)) for counts in (one.counts, other.counts))
    bounds = {name: interval(others[name] - samples[name]) for name in first}
    if len(one.counts.names) == 1:
        bounds = {name: np.full_like(values, np.nan) for name, values in bounds.items()}
    each = measure.each
    rows = zip(one.names, first[each], second[each], *bounds[each], strict=True)
    return (
        {
            name: Difference(float(first[name]), float(second[name]), *map(float, bounds[name]))
            for name in first
            if name != each
        },
        {name: Difference(*map(float, numbers)) for name, *numbers in rows},
    )


def _require_same(first: StoredEvaluation, second: StoredEvaluation) -> None:
    one, other = first.subject, second.subject
    for noun, a, b in (
        ("data set", one.dataset, other.dataset),
        ("split", one.split, other.split),
        ("classes", list(one.class_names), list(other.class_names)),
        ("ignore label", one.ignore_label, other.ignore_label),
    ):
        if a != b:
            different = noun if noun == "classes" else f"{noun}s"
            raise UserError(
                f"--compare: the evaluations used different {different}: {a} and {b}; evaluate both with the same "
                f"{noun}."
            )
    counts, others = first.measured[0].counts, second.measured[0].counts
    if counts.names != others.names:
        raise UserError(
            f"--compare: the evaluations used different images ({len(counts.names)} and {len(others.names)}, "
            f"{_first_difference(counts.names, others.names)}); evaluate both on the same images."
        )
    wrong = np.flatnonzero((counts.labelled != others.labelled).any(axis=1))
    if wrong.size:
        raise UserError(
            f"--compare: the labels of {wrong.size} images differ, the first is {counts.names[wrong[0]]}; the data set "
            "was changed between the two, evaluate both again."
        )


def _first_difference(a: tuple[str, ...], b: tuple[str, ...]) -> str:
    for x, y in zip(a, b, strict=False):
        if x != y:
            return f"first {x} and {y}"
    return "one has more"


def _json(difference: Difference) -> dict[str, Any]:
    values = {"first": difference.first, "second": difference.second, "difference": difference.value}
    interval_ = None if math.isnan(difference.low) else [difference.low, difference.high]
    return {name: None if math.isnan(value) else value for name, value in values.items()} | {
        "interval": interval_,
        "excludes_0": difference.is_clear,
    }
