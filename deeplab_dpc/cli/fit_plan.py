"""The choices of the plan of `fit`, each with its reason, as pure functions of the data, the time and measurements.

Three parts: choices that need no measurement (`network_choices`), choices that depend on the seconds of a step in the
rehearsal (`time_choices`), and whether and how to search (`search_choices`), which is decided again when the baseline
has measured the time of trainings and evaluations.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

from deeplab_dpc.arch.fitting import ASPP_RATES, aspp_name, fitted_aspp_rates
from deeplab_dpc.cli.fit_schedule import (
    ALONE_SHARE,
    BASELINE_SHARE,
    CONTEST_SHARE,
    SEARCH_SHARE,
    Fingerprint,
    Measured,
    aligned,
    area,
    evaluation_seconds,
    fixed_seconds,
    guessed_cell_seconds,
)

MAX_CROP_CPU, MAX_CROP = 321, 513  # largest sides in pixels, of the rehearsal too
LEAST_CROP = 225  # pixels; with smaller crops, whole images differ too much from the training images
LEAST_LEARNING = 10  # steps that are planned even if no time is left
LEAST_STEPS = 200  # of all trainings of the network that ships; if there were fewer, the crop is made smaller
BATCHES = {16: 5000, 8: 600, 4: 0}  # batch size: number of steps for which there must be time
MAX_EPOCHS = 500  # of all trainings of the network that ships
BASELINE_EPOCHS = 150
LEAST_IMAGES = 40  # of train; with fewer, differences between cells are not significant
LEAST_VAL_IMAGES = 8
LEAST_CONTEST_STEPS, LEAST_TWO_ROUNDS, LEAST_TWO_SEEDS = 50, 200, 400
# A contest of fewer epochs, up to so many steps, ranks cells by how fast they learn (docs/fit.md has a measurement).
LEAST_CONTEST_EPOCHS, ENOUGH_CONTEST_STEPS = 5, 500
# If all of the time has fewer epochs of one training, more training gains more than a better cell (docs/fit.md has a
# measurement); so many steps, the published number, are enough with any number of images.
LEAST_SEARCH_EPOCHS, ENOUGH_SEARCH_STEPS = 250, 30_000
ENOUGH_BASELINE = 500  # steps of a baseline that is usable, so that it need not have the larger share without a search
OF_BASELINE = 0.3  # least ratio of a finalist's steps to the baseline's, for more finalists than the fewest
FINALISTS = (8, 6, 5, 4, 3)  # numbers of finalists, including the warm starts, in the order in which they are tried
BESIDE_ASPP = ("conv1x1", "dpc_top1", "psp")  # warm starts
OF_SEARCH = (
    "search",
    "warm_starts",
    "rerank_top_k",
    "proxy_steps",
    "proxy_batch_size",
    "proxy_learning_rate",
    "feature_views",
    "num_candidates",
    "contest_rounds",
    "contest_seeds",
)
SEARCH_STARTS = 2  # time of caching features and compiling the proxy, in starts with evaluation of a training


@dataclasses.dataclass(frozen=True)
class Choice:
    """A choice of the plan.

    Attributes:
      value: value of the flag of that name.
      reason: reason for the value.
      given: bool, whether the command line gave the value.
    """

    value: Any
    reason: str
    given: bool = False


Choices = dict[str, Choice]
Given = Mapping[str, Any]


class _Chooser:
    """A collection of choices; values of the command line take precedence over planned ones."""

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
    """Returns the choices of network, initial weights, augmentation and largest crop."""
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
    """Returns the choices of crop, batch size, rates, steps of the baseline, and of the search.

    Args:
      data: fingerprint of the data.
      measured: measurements of the rehearsal.
      left: seconds that are left.
      given: flags of the command line by name.
      crop: (height, width) of `network_choices`, in pixels.
      alignment: alignment of the sides of crops.
    """
    chooser = _Chooser(given)
    choose = chooser.choose
    per_image = measured.seconds_per_image * area(crop) / area(measured.crop)
    # However little time is left, a few steps are planned, so that there is a network in the end.
    least = LEAST_LEARNING * min(BATCHES) * per_image
    learning = max(left - fixed_seconds(data, measured), 0.25 * left, least)
    if "train_crop_size" not in given:
        crop = _crop(crop, learning, per_image, measured, alignment, chooser)
        per_image = measured.seconds_per_image * area(crop) / area(measured.crop)
    _aspp(crop, data, alignment, chooser)
    batch = _batch(data, learning, per_image, chooser)
    step = batch * per_image
    most = max(1, round(MAX_EPOCHS * data.train / batch))
    _rates(chooser, batch, learning / step)
    choose("label_weights", "", "none for the baseline; if it recognises rare classes badly, all after it has some")
    each = measured.start_seconds + evaluation_seconds(data, measured)
    searching = search_choices(data, learning, step, each, given, batch, chooser.choices["atrous_rates"].value)
    is_enough = searching["search"].value or BASELINE_SHARE * learning / step >= ENOUGH_BASELINE
    share = BASELINE_SHARE if is_enough else ALONE_SHARE
    by_time = max(1, int(share * learning / step))
    by_epochs = max(1, round(BASELINE_EPOCHS * data.train / batch))
    bound = (
        f"{100 * share:.0f} % of the {learning:.0f} s for learning, at {step:.2f} s a step"
        if by_time <= by_epochs
        else f"{BASELINE_EPOCHS} epochs of {data.train} images; the time would be enough for {by_time:,} steps"
    )
    steps = choose("baseline_steps", min(by_time, by_epochs), bound)
    chooser.choices |= searching
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
    """Returns the crop, made smaller if there is too little time for its steps, or memory for a batch of four."""
    smallest = min(BATCHES)
    steps = learning / (smallest * per_image)
    by_time = min(1.0, steps / LEAST_STEPS)
    free = measured.memory_available
    need = smallest * measured.memory_per_image * area(crop) / area(measured.crop)
    by_memory = 1.0 if free is None or need <= 0.8 * free else 0.8 * free / need
    scale = math.sqrt(min(by_time, by_memory))
    smaller = tuple(min(side, max(aligned(side * scale, alignment), LEAST_CROP)) for side in crop)
    if smaller == crop:
        reason = f"the largest image, at most {max(measured.crop)}; {steps:,.0f} steps of {smallest} fit into the time"
        return tuple(chooser.choose("train_crop_size", crop, reason))
    why = (
        f"{steps:,.0f} steps of {crop[0]} x {crop[1]} would be too few"
        if by_time <= by_memory
        else "for want of memory"
    )
    return tuple(chooser.choose("train_crop_size", smaller, why))


def _aspp(crop: tuple[int, int], data: Fingerprint, alignment: int, chooser: _Chooser) -> None:
    """Chooses the rates of ASPP: taps that see only padding in crops stay untrained, but act on whole images."""
    cells = (min(crop) - 1) // alignment + 1
    rates = fitted_aspp_rates(cells)
    if rates == ASPP_RATES or min(crop) >= min(data.largest_size):
        chooser.choose("atrous_rates", ",".join(map(str, ASPP_RATES)), "of the baseline's ASPP, the published ones")
        return
    reason = f"of the baseline's ASPP; larger ones would see padding alone in the {cells} feature cells of a crop"
    chooser.choose("atrous_rates", ",".join(map(str, rates)), reason)


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


def search_choices(
    data: Fingerprint, learning: float, step: float, each: float, given: Given, batch: int, rates: str = "6,12,18"
) -> Choices:
    """Returns the choice of whether to search, and if so the sizes of the search and its contest.

    Args:
      data: the fingerprint.
      learning: seconds of the search and all trainings, including the baseline.
      step: seconds per step.
      each: seconds of the start and the evaluation of a finalist.
      given: flags of the command line by name.
      batch: batch size.
      rates: atrous rates of the baseline's ASPP, which is a warm start.
    """
    chooser = _Chooser(given)
    learning = max(0.0, learning - SEARCH_STARTS * each)
    finalists, steps, reason = _finalists(data, learning, step, each, batch)
    if chooser.choose("search", finalists > 0, reason):
        # Several rounds start several trainings, which must not take longer than the steps.
        rich = steps if steps * step >= 2 * each else 0
        _sizes(data, learning, max(finalists, min(FINALISTS)), rich, step, _aspp_of(rates), chooser)
    return chooser.choices


def _finalists(data: Fingerprint, learning: float, step: float, each: float, batch: int) -> tuple[int, int, str]:
    """Returns the number of finalists (0 for no search), their number of steps, and the reason."""
    few = f"{data.train} images of train and {data.images.get('val', 0)} of val"
    fewest, steps = min(FINALISTS), 0
    least = max(LEAST_CONTEST_STEPS, min(math.ceil(LEAST_CONTEST_EPOCHS * data.train / batch), ENOUGH_CONTEST_STEPS))
    enough = max(2 * least, OF_BASELINE * BASELINE_SHARE * learning / step)
    for finalists in FINALISTS:
        steps = max(0, int((CONTEST_SHARE * learning / finalists - each) / step))
        if steps >= (enough if finalists > fewest else least):
            break
    if data.train < LEAST_IMAGES or data.images.get("val", 0) < LEAST_VAL_IMAGES:
        return 0, steps, f"{few} are too few to tell cells apart; the baseline is trained on instead"
    alone, needed = learning / step, min(LEAST_SEARCH_EPOCHS * data.train / batch, ENOUGH_SEARCH_STEPS)
    if alone < needed:
        reason = (
            f"too little time: in all of it one training has {alone:,.0f} steps, and below {needed:,.0f} more of them "
            "gain more than a better cell; the baseline is trained on instead"
        )
        return 0, steps, reason
    if steps < least:
        reason = (
            f"too little time: {fewest} finalists could have {steps} steps each, and {least} or more are "
            "needed; the baseline is trained on instead"
        )
        return 0, steps, reason
    return finalists, steps, f"the contest's {finalists} finalists can have about {steps:,} steps each"


def _aspp_of(rates: str) -> str:
    found = re.findall(r"\d+", str(rates))
    return aspp_name(map(int, found)) if found else "aspp"


def _sizes(
    data: Fingerprint, learning: float, finalists: int, steps: int, step: float, aspp: str, chooser: _Chooser
) -> None:
    """Chooses the size of the search: cells, steps and views of the proxy, and the contest's rounds and seeds."""
    choose = chooser.choose
    seconds = SEARCH_SHARE * learning
    warm = (aspp, *BESIDE_ASPP)[: 2 if finalists < max(FINALISTS) else 4]
    warm_starts = str(choose("warm_starts", ",".join(warm), "known cells, which are finalists whatever their scores"))
    if aspp not in warm_starts.split(","):
        added = f"{aspp},{warm_starts}"
        chooser.choices["warm_starts"] = Choice(added, "given on the command line, and ASPP beside them", given=True)
    choose("rerank_top_k", finalists - len(warm), f"{finalists} finalists with the warm starts")
    proxy_steps = 100 if seconds < 120 else 200 if seconds < 600 else 400 if seconds < 3600 else 1000
    choose("proxy_steps", proxy_steps, f"about {seconds:.0f} s are for the search, which needs several cells")
    choose("proxy_batch_size", min(8, data.train), "the paper's")
    choose("proxy_learning_rate", 0.05, "few steps learn best at a high rate")
    views = 4 if data.train <= 500 and seconds >= 300 else 0
    many = f"{data.train} images, which a cell of many weights would overfit without"
    choose("feature_views", views, many if views else "each image once, as the time is short or the images many")
    cell_seconds = guessed_cell_seconds(proxy_steps, step)
    count = max(4, min(1000, int(seconds / cell_seconds) - len(warm)))
    choose("num_candidates", count, f"about {cell_seconds:.0f} s a cell, by a guess")
    several = steps >= LEAST_TWO_ROUNDS
    because = "after the first those leave that cannot win" if several else "too few steps for several"
    rounds = choose("contest_rounds", 2 if several else 1, because)
    again = rounds > 1 and steps >= LEAST_TWO_SEEDS
    because = "steps enough for a second in the last round" if again else "too few steps for more"
    choose("contest_seeds", 2 if again else 1, because)
