"""The plan of `fit`: what fits the data and the time, each choice with its reason. Pure functions of numbers.

Two parts: what can be said before anything is measured (`network_choices`), and what depends on the seconds of a step
(`time_choices`). Steps that depend on what the stages before really took are decided when they begin (`contest_steps`,
`final_steps`).
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

MAX_CROP_CPU, MAX_CROP = 321, 513  # pixels; what is rehearsed
LEAST_CROP = 129  # pixels; a smaller one shows eight feature cells
LEAST_STEPS = 400  # of all trainings of the network that ships; rather than fewer, the crop is smaller
BATCHES = {16: 5000, 8: 600, 4: 0}  # batch by the steps that it has to leave
MAX_EPOCHS = 500  # of all trainings of the network that ships, each image once an epoch
BASELINE_EPOCHS = 150
LEAST_IMAGES = 40  # of train; fewer are no sample that could tell cells apart
LEAST_VAL_IMAGES = 8
LEAST_CONTEST_STEPS = 50
FINALISTS = (8, 6, 5, 4, 3)  # numbers that are tried in turn, ASPP and the 1x1 convolution among them
WARM_STARTS = ("aspp", "conv1x1", "dpc_top1", "psp")
# Shares of the time for learning, with a search; what is left over goes to the stages after.
BASELINE_SHARE, SEARCH_SHARE, CONTEST_SHARE = 0.2, 0.15, 0.3
ALONE_SHARE = 0.3  # of the baseline without a search, whose training then goes on
CELL_SHARE = 0.04  # of a step of the network and of an image, that a step of the proxy takes for an image
EXPORT_STARTS = 2.0  # times that an export takes a start of a training
REPORT_SECONDS = 5.0
EVALUATED_SHARE = 0.35  # of a training step's time for as many pixels, that an evaluation takes


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """What the plan knows of the data.

    Attributes:
      images: labelled images of each split.
      median_size, largest_size: (height, width) of the images of train, in pixels.
      shares: of each class in the labelled pixels of train.
      cells: of each class, the side of a square as large as what an image that has it shows of it, in feature cells.
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
    """What a rehearsal found.

    Attributes:
      crop: (height, width) of the rehearsal.
      seconds_per_image: of a step.
      start_seconds: until a training makes its first step: building, tracing, compiling.
      memory_per_image: bytes that an image of a batch takes; 0 where that is not known.
      memory_available: bytes; None where that is not known.
    """

    crop: tuple[int, int]
    seconds_per_image: float
    start_seconds: float
    memory_per_image: float = 0.0
    memory_available: float | None = None


@dataclasses.dataclass(frozen=True)
class Choice:
    """A choice of the plan.

    Attributes:
      value: of the flag of that name.
      reason: why, in words.
      given: whether the command line gave it.
    """

    value: Any
    reason: str
    given: bool = False


Choices = dict[str, Choice]
Given = Mapping[str, Any]


class _Chooser:
    """Collects choices; what the command line gives comes before what is planned."""

    def __init__(self, given: Given):
        self.given = given
        self.choices: Choices = {}

    def choose(self, name: str, value: Any, reason: str) -> Any:
        if name in self.given:
            self.choices[name] = Choice(self.given[name], "given on the command line", given=True)
        else:
            self.choices[name] = Choice(value, reason)
        return self.choices[name].value


def network_choices(data: Fingerprint, given: Given, has_accelerator: bool, alignment: int = 16) -> Choices:
    """Returns the network, where it starts, its augmentation, and the largest crop that comes into question."""
    chooser = _Chooser(given)
    choose = chooser.choose
    if "tf_initial_checkpoint" in given:
        choose("tf_initial_checkpoint", None, "")
    else:
        reason = "from scratch: no --tf_initial_checkpoint is given, so that everything is learned from these images"
        choose("tf_initial_checkpoint", None, reason)
        if given.get("model_variant", "mobilenet_v2") == "mobilenet_v2":
            choose("depth_multiplier", 0.5, "a narrow backbone, since it starts from scratch")
    choose("decoder_output_stride", "4", "a decoder at stride 4 (DeepLabv3+), for borders and small objects")
    if data.is_embedded:
        choose("min_scale_factor", 0.75, "little change of scale, since size tells the classes apart")
        choose("max_scale_factor", 1.25, "the same")
    limit = MAX_CROP if has_accelerator else MAX_CROP_CPU
    crop = tuple(aligned(min(side, limit), alignment) for side in data.largest_size)
    where = "an accelerator" if has_accelerator else "CPUs"
    choose("train_crop_size", crop, f"as much of the largest image as {where} train, at most {limit}")
    pixels = data.train * data.median_size[0] * data.median_size[1] * 4
    cache = "memory" if pixels < 1e9 else "none"
    choose("cache", cache, f"decoded, the images of train are {pixels / 1e9:.2f} GB")
    return chooser.choices


def time_choices(
    data: Fingerprint, measured: Measured, left: float, given: Given, crop: tuple[int, int], alignment: int = 16
) -> Choices:
    """Returns crop, batch, rates, the steps of the baseline, and whether and how to search.

    Args:
      data: the fingerprint.
      measured: by the rehearsal.
      left: seconds.
      given: flags of the command line by name.
      crop: that was chosen before.
      alignment: of the sides of crops.
    """
    chooser = _Chooser(given)
    choose = chooser.choose
    learning = max(left - fixed_seconds(data, measured), 0.25 * left)
    per_image = measured.seconds_per_image * area(crop) / area(measured.crop)
    if "train_crop_size" not in given:
        crop = _crop(crop, learning, per_image, measured, alignment, chooser)
        per_image = measured.seconds_per_image * area(crop) / area(measured.crop)
    batch = _batch(data, learning, per_image, chooser)
    step = batch * per_image
    most = max(1, round(MAX_EPOCHS * data.train / batch))
    _rates(chooser, batch, learning / step)
    choose("label_weights", "", "none; the report says so if a rare class is recognised badly")
    plan = _search(data, measured, learning, step, given)
    has_search = choose("search", plan.finalists > 0, plan.reason)
    share = BASELINE_SHARE if has_search else ALONE_SHARE
    by_time = max(1, int(share * learning / step))
    by_epochs = max(1, round(BASELINE_EPOCHS * data.train / batch))
    bound = (
        f"{100 * share:.0f} % of the {learning:.0f} s for learning, at {step:.2f} s a step"
        if by_time <= by_epochs
        else f"{BASELINE_EPOCHS} epochs of {data.train} images; the time would be enough for {by_time:,} steps"
    )
    steps = choose("baseline_steps", min(by_time, by_epochs), bound)
    if has_search:
        _search_choices(data, learning, plan, step, given, chooser)
    epochs = f"of the network that ships: {MAX_EPOCHS} epochs of {data.train} images, and no more"
    chooser.choices["most_steps"] = Choice(max(most, steps + 1), epochs)
    return chooser.choices


def _crop(
    crop: tuple[int, int],
    learning: float,
    per_image: float,
    measured: Measured,
    alignment: int,
    chooser: _Chooser,
) -> tuple[int, int]:
    """Returns the crop, smaller where the time has too few steps of it or the memory no batch of four."""
    smallest = min(BATCHES)
    steps = learning / (smallest * per_image)
    by_time = min(1.0, steps / LEAST_STEPS)
    free = measured.memory_available
    need = smallest * measured.memory_per_image * area(crop) / area(measured.crop)
    by_memory = 1.0 if free is None or need <= 0.8 * free else 0.8 * free / need
    scale = math.sqrt(min(by_time, by_memory))
    if scale >= 1.0:
        reason = f"the largest image, at most {max(measured.crop)}; {steps:,.0f} steps of {smallest} fit into the time"
        return tuple(chooser.choose("train_crop_size", crop, reason))
    smaller = tuple(min(side, max(aligned(side * scale, alignment), LEAST_CROP)) for side in crop)
    why = (
        f"{steps:,.0f} steps of {crop[0]} x {crop[1]} would be too few"
        if by_time <= by_memory
        else "for want of memory"
    )
    return tuple(chooser.choose("train_crop_size", smaller, why))


def _batch(data: Fingerprint, learning: float, per_image: float, chooser: _Chooser) -> int:
    size = next(size for size, steps in BATCHES.items() if learning / (size * per_image) >= steps)
    size = max(1, min(size, data.train))
    count = learning / (size * per_image)
    return int(chooser.choose("train_batch_size", size, f"which leaves about {count:,.0f} steps in all"))


def _rates(chooser: _Chooser, batch: int, steps: float) -> None:
    from_scratch = "tf_initial_checkpoint" not in chooser.given
    base = 0.05 if steps < 5000 else 0.02
    value = round(base * min(1.0, batch / 8), 5)
    length = "short trainings learn" if steps < 5000 else "a long training learns"
    chooser.choose("base_learning_rate", value, f"{length} best at {base:g} for a batch of 8; here it is {batch}")
    first = 2 * value if from_scratch else value
    reason = "twice that, since the backbone starts from scratch" if from_scratch else "the same"
    chooser.choices["baseline_learning_rate"] = Choice(chooser.given.get("base_learning_rate", first), reason)


@dataclasses.dataclass(frozen=True)
class _SearchPlan:
    """finalists (0: no search), the steps of each in the contest, and the reason."""

    finalists: int
    steps: int
    reason: str


def _search(data: Fingerprint, measured: Measured, learning: float, step: float, given: Given) -> _SearchPlan:
    if data.train < LEAST_IMAGES or data.images.get("val", 0) < LEAST_VAL_IMAGES:
        few = f"{data.train} images of train and {data.images.get('val', 0)} of val"
        return _SearchPlan(0, 0, f"{few} are too few to tell cells apart; the baseline is trained on instead")
    each = measured.start_seconds + evaluation_seconds(data, measured)
    for finalists in FINALISTS:
        steps = int((CONTEST_SHARE * learning / finalists - each) / step)
        if steps >= LEAST_CONTEST_STEPS * (2 if finalists > min(FINALISTS) else 1):
            reason = f"the contest's {finalists} finalists can have about {steps:,} steps each"
            return _SearchPlan(finalists, steps, reason)
    if given.get("search"):
        return _SearchPlan(min(FINALISTS), max(2, steps), "")
    reason = (
        f"too little time: {min(FINALISTS)} finalists could have {max(0, steps)} steps each, and at least "
        f"{LEAST_CONTEST_STEPS} are needed; the baseline is trained on instead"
    )
    return _SearchPlan(0, 0, reason)


def _search_choices(
    data: Fingerprint, learning: float, plan: _SearchPlan, step: float, given: Given, chooser: _Chooser
) -> None:
    choose = chooser.choose
    finalists = max(plan.finalists, min(FINALISTS))
    seconds = SEARCH_SHARE * learning
    warm = WARM_STARTS[: 2 if finalists < 8 else 4]
    warm_starts = str(choose("warm_starts", ",".join(warm), "known cells, which are finalists whatever their scores"))
    if "aspp" not in warm_starts.split(","):
        added = f"aspp,{warm_starts}"
        chooser.choices["warm_starts"] = Choice(added, "given on the command line, and ASPP beside them", given=True)
    choose("rerank_top_k", finalists - len(warm), f"{finalists} finalists with the warm starts")
    proxy_steps = 100 if seconds < 120 else 200 if seconds < 600 else 400 if seconds < 3600 else 1000
    choose("proxy_steps", proxy_steps, f"about {seconds:.0f} s are for the search, which needs several cells")
    choose("proxy_batch_size", min(8, data.train), "the paper's")
    choose("proxy_learning_rate", 0.05, "few steps learn best at a high rate")
    views = 4 if data.train <= 500 and seconds >= 300 else 0
    many = f"{data.train} images, which a cell of many weights would overfit without"
    choose("feature_views", views, many if views else "each image once, as the time is short or the images many")
    cell_seconds = proxy_steps * step * CELL_SHARE + 2.0
    count = max(4, min(1000, int(seconds / cell_seconds) - len(warm)))
    reason = f"about {cell_seconds:.0f} s a cell, by a guess; the warm starts will measure it"
    choose("num_candidates", count, reason)
    rounds = 2 if plan.steps >= 400 else 1
    choose(
        "contest_rounds",
        rounds,
        "two halves, after the first of which those leave that cannot win"
        if rounds == 2
        else "too few steps for several",
    )
    seeds = 2 if plan.steps >= 800 else 1
    choose(
        "contest_seeds", seeds, "steps enough for a second seed in the last round" if seeds == 2 else "no time for more"
    )


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


def contest_cost(rounds: int, seeds: int) -> float:
    """Returns the steps of a contest of which half leave after the first round, by finalists times the last steps."""
    if rounds == 1:
        return float(seeds)
    return 0.5 + 0.5 * (seeds - 0.5)


def contest_steps(left: float, finalists: int, step: float, each: float, rounds: int, seeds: int, most: int) -> int:
    """Returns the steps of a finalist.

    Args:
      left: seconds of the contest and of the training after it.
      finalists: how many.
      step: seconds.
      each: seconds of a start and an evaluation.
      rounds, seeds: of the contest.
      most: steps that the network that ships may have.
    """
    share = CONTEST_SHARE / (1 - BASELINE_SHARE - SEARCH_SHARE)
    cost = contest_cost(rounds, seeds)
    steps = int((share * left / finalists - each * cost) / (step * cost))
    return max(2 ** (rounds - 1), min(steps, most // 2))


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
