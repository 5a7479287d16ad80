"""The time budgets of the stages of `fit`: pure functions of the data's fingerprint and of measured times.

Numbers of steps that depend on the duration of earlier stages are computed when their stage begins.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

from deeplab_dpc.arch.fitting import aligned_side
from deeplab_dpc.config.train import FALLING
from deeplab_dpc.data.dataset_info import DatasetInfo

# Shares of the time for learning, with a search; the rest is for the later stages.
BASELINE_SHARE, SEARCH_SHARE, CONTEST_SHARE = 0.125, 0.15, 0.3
ALONE_SHARE = 0.3  # share of the baseline without a search; its training then continues
EXPORT_STARTS = 1.0  # ratio of the time reserved for the exports to that of the start of a training
REPORT_SECONDS = 5.0
CELL_SHARE, CELL_SECONDS = 0.04, 4.0  # ratio of a proxy step to a network step; seconds per cell beside its steps
EVALUATED_SHARE = 0.35  # ratio of the time of an evaluation to that of a training step, per pixel
EVALUATION_SHARE = 0.7  # time of an evaluation during a training, as a share of the time of the command eval
CELL = 16  # side of a feature cell, in pixels


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """The facts about the data on which the plan depends.

    Attributes:
      images: number of labelled images of each split.
      median_size, largest_size: (height, width) of the images of train, in pixels.
      shares: share of each class in the labelled pixels of train.
      cells: size of each class: the side, in feature cells, of a square with the class's mean area in the images that
        contain it.
      is_embedded: bool, whether it is the embedded data set.
      weights: weight of each class by median frequency balancing, by name, in the order of the ids; empty in plans of
        earlier versions.
    """

    images: Mapping[str, int]
    median_size: tuple[int, int]
    largest_size: tuple[int, int]
    shares: Mapping[str, float]
    cells: Mapping[str, float]
    is_embedded: bool = False
    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def train(self) -> int:
        return self.images["train"]

    @classmethod
    def of_report(cls, report: Mapping[str, Any], info: DatasetInfo, is_embedded: bool) -> Self:
        """Returns the facts in the report of check_data on the data set that `info` describes."""
        train = report["splits"]["train"]
        classes = [one for one in train["classes"] if one["id"] != info.ignore_label]
        return cls(
            images={split: info.splits[split] for split in info.labelled_splits},
            median_size=tuple(train["image_sizes"]["median"]),
            largest_size=info.max_size["train"],
            shares={one["name"]: one["share"] for one in classes},
            cells={one["name"]: math.sqrt(one["pixels"] / one["images"]) / CELL for one in classes if one["images"]},
            is_embedded=is_embedded,
            weights=report["label_weights"]["weights"],
        )


@dataclasses.dataclass(frozen=True)
class Measured:
    """The measurements of a rehearsal.

    Attributes:
      crop: (height, width) of its crops, in pixels.
      seconds_per_image: seconds of a training step per image.
      start_seconds: seconds until the first step of a training: building, tracing, compiling.
      memory_per_image: bytes per image of a batch; 0 if unknown.
      memory_available: available bytes; None if unknown.
    """

    crop: tuple[int, int]
    seconds_per_image: float
    start_seconds: float
    memory_per_image: float = 0.0
    memory_available: float | None = None


def fixed_seconds(data: Fingerprint, measured: Measured) -> float:
    """Returns the seconds that are not for learning: two starts of a training, the evaluations, export and report."""
    return (
        2 * measured.start_seconds
        + 2 * evaluation_seconds(data, measured)
        + final_reserve(data, measured.start_seconds, evaluation_seconds(data, measured))
        - evaluation_seconds(data, measured)
    )


def evaluation_seconds(data: Fingerprint, measured: Measured) -> float:
    """Returns the estimated seconds of an evaluation of val, from those of a training step."""
    height, width = data.median_size
    each = EVALUATED_SHARE * measured.seconds_per_image * height * width / area(measured.crop)
    return 0.4 * measured.start_seconds + data.images.get("val", 0) * each


def final_reserve(data: Fingerprint, start_seconds: float, evaluation: float) -> float:
    """Returns the seconds of the stages after the last training."""
    splits = 1 + data.images.get("test", 0) / max(1, data.images.get("val", 1))
    return splits * evaluation + EXPORT_STARTS * start_seconds + REPORT_SECONDS


def search_seconds(left: float) -> float:
    """Returns the seconds of the search, a share of the time left for it, the contest and the last training."""
    return max(0.0, left) * SEARCH_SHARE / (1 - BASELINE_SHARE)


def candidates(seconds_left: float, seconds_a_cell: float, has_been: int) -> int:
    """Returns the number of candidates that fit into the rest of the search's time, at least two."""
    return max(2, min(1000, has_been + int(seconds_left / max(seconds_a_cell, 0.1))))


def guessed_cell_seconds(proxy_steps: int, step: float) -> float:
    """Returns the seconds per cell to expect before any cell is scored.

    Args:
      proxy_steps: number of steps of the proxy.
      step: seconds per step of the network.
    """
    return proxy_steps * step * CELL_SHARE + CELL_SECONDS


def cell_seconds(warm_starts: Sequence[float], guessed: float) -> float:
    """Returns the estimated seconds per cell, from those of the warm starts in order, of which the first includes
    compilation.

    If there is a single other one, it may be the 1x1 convolution, which is cheaper than other cells: then the guess is
    the least.
    """
    others = warm_starts[1:]
    if not others:
        return warm_starts[0] if warm_starts else guessed
    return max(others) if len(others) > 1 else max(2 * others[0], guessed)


def contest_cost(finalists: int, rounds: int, seeds: int) -> tuple[float, float]:
    """Returns the cost of a contest per finalist: trainings of the last round's length, and starts of a training.

    With several rounds (two are assumed), half of the finalists, but at least two, continue after the first. The second
    round continues from before the fall of the learning rate in the first, the last fifth of its steps.
    """
    if rounds == 1:
        return float(seeds), float(seeds)
    stay, fall = max(0.5, 2 / finalists), 0.5 / FALLING
    return 0.5 + stay * ((1 + fall) * seeds - 0.5), 1.0 + stay * (2 * seeds - 1)


def contest_steps(left: float, finalists: int, step: float, each: float, rounds: int, seeds: int, most: int) -> int:
    """Returns the number of steps of a finalist.

    Args:
      left: seconds for the contest and the training after it.
      finalists: number of finalists.
      step: seconds per step.
      each: seconds of a start and an evaluation.
      rounds, seeds: number of rounds and of seeds of the contest.
      most: largest number of steps of the exported network.
    """
    share = CONTEST_SHARE / (1 - BASELINE_SHARE - SEARCH_SHARE)
    trainings, starts = contest_cost(finalists, rounds, seeds)
    steps = int((share * left / finalists - each * starts) / (step * trainings))
    shared: int = max(2 ** (rounds - 1), min(steps, most // 2))
    return shared


def final_steps(done: int, left: float, step: float, most: int) -> int:
    """Returns the number of steps of the last training, including those of the run that it continues.

    Args:
      done: step of that run from which it is continued.
      left: seconds for the training.
      step: seconds per step.
      most: largest number of steps for that number of images.
    """
    more = max(1, int(left / step), done // 10)
    return max(done + 1, min(done + more, most))


def evaluation_interval(done: int, steps: int, most: int) -> int:
    """Returns the smallest interval of which at most so many evaluations follow step `done`: at its multiples, and at
    the last step.
    """
    return next(one for one in range(1, steps + 1) if steps // one - done // one + bool(steps % one) <= most)


def area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def aligned(side: float, alignment: int) -> int:
    """Returns the smallest size alignment * k + 1 that is at least `side` and has two features."""
    size: int = aligned_side(max(2, math.ceil(side)), alignment)
    return size
