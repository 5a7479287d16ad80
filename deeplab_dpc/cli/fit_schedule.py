"""What the parts of `fit` may cost: pure functions of what is known of the data and was measured.

Steps that depend on what the stages before really took are decided by these when they begin.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

# Shares of the time for learning, with a search; what is left over goes to the stages after.
BASELINE_SHARE, SEARCH_SHARE, CONTEST_SHARE = 0.14, 0.15, 0.3
ALONE_SHARE = 0.3  # of the baseline without a search, whose training then goes on
EXPORT_STARTS = 2.0  # times that an export takes a start of a training
REPORT_SECONDS = 5.0
EVALUATED_SHARE = 0.35  # of a training step's time for as many pixels, that an evaluation takes


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """Holds what the plan knows of the data.

    Attributes:
      images: labelled images of each split.
      median_size, largest_size: (height, width) of the images of train, in pixels.
      shares: shares of each class in the labelled pixels of train.
      cells: cells of each class, the side of a square as large as what an image that has it shows of it, in feature
        cells.
      is_embedded: whether it is the embedded data set.
    """

    images: Mapping[str, int]
    median_size: tuple[int, int]
    largest_size: tuple[int, int]
    shares: Mapping[str, float]
    cells: Mapping[str, float]
    is_embedded: bool = False

    @property
    def train(self) -> int:
        return self.images["train"]


@dataclasses.dataclass(frozen=True)
class Measured:
    """Holds what a rehearsal measured.

    Attributes:
      crop: (height, width) of the rehearsal.
      seconds_per_image: seconds per image of a step.
      start_seconds: until a training makes its first step: building, tracing, compiling.
      memory_per_image: bytes that an image of a batch takes; 0 where that is not known.
      memory_available: bytes; None where that is not known.
    """

    crop: tuple[int, int]
    seconds_per_image: float
    start_seconds: float
    memory_per_image: float = 0.0
    memory_available: float | None = None


def fixed_seconds(data: Fingerprint, measured: Measured) -> float:
    """Returns what is no learning: two starts of a training, the evaluations, the export, the report."""
    return (
        2 * measured.start_seconds
        + 2 * evaluation_seconds(data, measured)
        + final_reserve(data, measured.start_seconds, evaluation_seconds(data, measured))
        - evaluation_seconds(data, measured)
    )


def evaluation_seconds(data: Fingerprint, measured: Measured) -> float:
    """Returns what an evaluation of val may take, by the seconds of a training step."""
    height, width = data.median_size
    each = EVALUATED_SHARE * measured.seconds_per_image * height * width / area(measured.crop)
    return 0.4 * measured.start_seconds + data.images.get("val", 0) * each


def final_reserve(data: Fingerprint, start_seconds: float, evaluation: float) -> float:
    """Returns the seconds of the stages after the last training."""
    splits = 1 + data.images.get("test", 0) / max(1, data.images.get("val", 1))
    return splits * evaluation + EXPORT_STARTS * start_seconds + REPORT_SECONDS


def search_seconds(left: float) -> float:
    """Returns the search's share of what is left for it, the contest and the last training."""
    return max(0.0, left) * SEARCH_SHARE / (1 - BASELINE_SHARE)


def candidates(seconds_left: float, seconds_a_cell: float, has_been: int) -> int:
    """Returns how many candidates fit into the rest of the search's time, at least two."""
    return max(2, min(1000, has_been + int(seconds_left / max(seconds_a_cell, 0.1))))


def cell_seconds(warm_starts: Sequence[float]) -> float:
    """Returns what a cell may take by what the warm starts took in turn, of which the first compiled.

    A single other one may be the 1x1 convolution, which is cheaper than cells are.
    """
    others = warm_starts[1:]
    if not others:
        return warm_starts[0] if warm_starts else 1.0
    return max(others) if len(others) > 1 else 2 * others[0]


def contest_cost(finalists: int, rounds: int, seeds: int) -> tuple[float, float]:
    """Returns what a contest takes for each finalist: trainings of the last round's steps, and starts of a training.

    Of several rounds (two are meant) half of the finalists, but two at least, are taken to go on after the first.
    """
    if rounds == 1:
        return float(seeds), float(seeds)
    stay = max(0.5, 2 / finalists)
    return 0.5 + stay * (seeds - 0.5), 1.0 + stay * (2 * seeds - 1)


def contest_steps(left: float, finalists: int, step: float, each: float, rounds: int, seeds: int, most: int) -> int:
    """Returns the steps of a finalist.

    Args:
      left: seconds of the contest and of the training after it.
      finalists: how many.
      step: seconds.
      each: seconds of a start and an evaluation.
      rounds, seeds: rounds and seeds of the contest.
      most: steps that the network that ships may have.
    """
    share = CONTEST_SHARE / (1 - BASELINE_SHARE - SEARCH_SHARE)
    trainings, starts = contest_cost(finalists, rounds, seeds)
    steps = int((share * left / finalists - each * starts) / (step * trainings))
    shared: int = max(2 ** (rounds - 1), min(steps, most // 2))
    return shared


def final_steps(done: int, left: float, step: float, most: int) -> int:
    """Returns the steps of the last training, counted from the beginning of the run that it goes on from.

    Args:
      done: steps of that run.
      left: seconds for it.
      step: seconds.
      most: steps that it may have by the number of images.
    """
    more = max(1, int(left / step), done // 10)
    return max(done + 1, min(done + more, most))


def area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def aligned(side: float, alignment: int) -> int:
    """Returns the least size alignment * k + 1 that is not below `side`."""
    return max(1, math.ceil((side - 1) / alignment)) * alignment + 1
