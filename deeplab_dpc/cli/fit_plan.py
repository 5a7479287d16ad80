"""The choices of the plan of `fit`, each with its reason, as pure functions of the data, the time and measurements.

Two parts: choices that need no measurement (`network_choices`), and choices that depend on the seconds of a step in the
rehearsal (`time_choices`). Those about the search are in fit_search_plan.py.
"""

import dataclasses
import math

from deeplab_dpc.arch.fitting import ASPP_RATES, fitted_aspp_rates
from deeplab_dpc.cli.fit_choices import Choice, Choices, Chooser, Given
from deeplab_dpc.cli.fit_schedule import (
    ALONE_SHARE,
    BASELINE_SHARE,
    Fingerprint,
    Measured,
    aligned,
    area,
    evaluation_seconds,
    final_steps,
    fixed_seconds,
)
from deeplab_dpc.cli.fit_search_plan import search_choices
from deeplab_dpc.cli.fit_weights import weights_of_short_training
from deeplab_dpc.config.train import ADAM, BFLOAT16, FALLING, FLOAT32, MOMENTUM

MAX_CROP_CPU, MAX_CROP = 321, 513  # largest sides in pixels, of the rehearsal too
LEAST_CROP = 225  # pixels; with smaller crops, whole images differ too much from the training images
LEAST_LEARNING = 10  # steps that are planned even if no time is left
LEAST_STEPS = 200  # of all trainings of the exported network; if there were fewer, the crop is made smaller
# Batch size: number of steps for which there must be time (docs/fit.md has a measurement).
BATCHES = {16: 5000, 8: 2500, 4: 0}
# From a checkpoint, Adam is for trainings of fewer steps, and momentum, the published optimizer, for longer ones
# (docs/fit.md has measurements of short ones).
SHORT_STEPS = 5000
ADAM_RATE = 0.001
FASTER = 1.15  # ratio of the steps' speeds from which bfloat16 is worth its rounding
MAX_EPOCHS = 500  # of all trainings of the exported network
BASELINE_EPOCHS = 150
ENOUGH_BASELINE = 250  # steps of a baseline that is usable, so that it need not have the larger share without a search
# If all of the time has fewer steps, there is one training: two would cost another start, and neither would be usable.
LEAST_TWO_TRAININGS = 2 * ENOUGH_BASELINE
USABLE_EPOCHS, ENOUGH_EPOCHS = 2, 20  # of all images of train, for a warning and its advice
LAST_RUN, BASELINE = "last_run", "baseline"  # the choice, and the run directory, of the training that is exported
SCHEDULE = "schedule_steps"  # the choice of the length of the schedule that the baseline begins


def network_choices(data: Fingerprint, given: Given, has_accelerator: bool, alignment: int = 16) -> Choices:
    """Returns the choices of network, initial weights, augmentation and largest crop."""
    chooser = Chooser(given)
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


def faster_precision(plain: Measured, reduced: Measured) -> tuple[Measured, Choice]:
    """Returns the precision of the trainings, and its measurements.

    Args:
      plain, reduced: measurements of a rehearsal in float32, and of one in bfloat16. The memory of the second is not
        used, since the peak of the process includes that of the first.
    """
    ratio = plain.seconds_per_image / reduced.seconds_per_image
    if ratio < FASTER:
        return plain, Choice(FLOAT32, f"in a rehearsal bfloat16 is {ratio:.2f} times as fast, which is too little")
    faster = dataclasses.replace(plain, seconds_per_image=reduced.seconds_per_image)
    return faster, Choice(BFLOAT16, f"in a rehearsal {ratio:.2f} times as fast as float32; the weights stay float32")


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
    chooser = Chooser(given)
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
    is_short = min(learning / step, most, given.get("training_number_of_steps", math.inf)) < SHORT_STEPS
    _optimizer(chooser, batch, is_short)
    after = "none for the baseline; if it recognises rare classes badly, all later trainings have them"
    choose("label_weights", *(weights_of_short_training(data) if is_short else ("", after)))
    each = measured.start_seconds + evaluation_seconds(data, measured)
    searching = search_choices(data, learning, step, each, given, batch, chooser.choices["atrous_rates"].value)
    is_free = not any(name in given for name in ("baseline_steps", "training_number_of_steps"))
    is_single = is_free and not searching["search"].value and learning / step < LEAST_TWO_TRAININGS
    is_enough = searching["search"].value or BASELINE_SHARE * learning / step >= ENOUGH_BASELINE
    share = 1.0 if is_single else BASELINE_SHARE if is_enough else ALONE_SHARE
    if is_single:  # which is started once
        start = measured.start_seconds
        learning += max(0.0, min(start, left - fixed_seconds(data, measured) + start - learning))
    by_time = max(1, int(share * learning / step))
    by_epochs = max(1, round(BASELINE_EPOCHS * data.train / batch))
    bound = (
        f"{100 * share:g} % of the {learning:.0f} s for learning, at {step:.2f} s a step"
        if by_time <= by_epochs
        else f"{BASELINE_EPOCHS} epochs of {data.train} images; the time would be enough for {by_time:,} steps"
    )
    total = given.get("training_number_of_steps")
    planned = min(by_time, by_epochs)
    if total is not None and total // 2 < planned:
        planned = max(1, total // 2)
        bound = f"half of the given --training_number_of_steps={total:,}; the last training has the others"
    steps = choose("baseline_steps", planned, bound)
    if is_single:
        few = f"fewer than {LEAST_TWO_TRAININGS} steps are possible in all, which is one training and not two"
        chooser.choices[LAST_RUN] = Choice(BASELINE, few)
    chooser.choices |= searching
    epochs = f"of all trainings of the exported network: at most {MAX_EPOCHS} epochs of {data.train} images"
    most = max(most, steps + 1)
    chooser.choices["most_steps"] = Choice(most, epochs)
    if not is_single:
        whole = given.get("training_number_of_steps", final_steps(0, learning - steps * step / FALLING, step, most))
        why = "of the schedule of the learning rate: the baseline is its beginning, and the last training continues it"
        chooser.choices[SCHEDULE] = Choice(max(whole, steps), why)
    return chooser.choices


def too_short(data: Fingerprint, measured: Measured, choices: Choices, used: float) -> str:
    """Returns a warning if each image can be seen only a few times in the single training; otherwise an empty text.

    Args:
      data: fingerprint of the data.
      measured: measurements of the rehearsal.
      choices: choices of the plan.
      used: seconds that are used already.
    """
    batch, steps = choices["train_batch_size"].value, choices["baseline_steps"].value
    epochs = steps * batch / data.train
    if LAST_RUN not in choices or epochs >= USABLE_EPOCHS:
        return ""
    per_image = measured.seconds_per_image * area(choices["train_crop_size"].value) / area(measured.crop)
    hours = (used + fixed_seconds(data, measured) + ENOUGH_EPOCHS * data.train * per_image) / 3600
    shown = math.ceil(10 * hours) / 10
    return (
        f"Only about {steps:,} steps fit into the time, which see each image {epochs:.1f} times: the network will "
        f"hardly be usable. About --hours={shown:g} would be {ENOUGH_EPOCHS} times (with another --workdir)."
    )


def _crop(
    crop: tuple[int, int],
    learning: float,
    per_image: float,
    measured: Measured,
    alignment: int,
    chooser: Chooser,
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
        else "for lack of memory"
    )
    return tuple(chooser.choose("train_crop_size", smaller, why))


def _aspp(crop: tuple[int, int], data: Fingerprint, alignment: int, chooser: Chooser) -> None:
    """Chooses the rates of ASPP: taps that see only padding in crops stay untrained, but act on whole images."""
    cells = (min(crop) - 1) // alignment + 1
    rates = fitted_aspp_rates(cells)
    if rates == ASPP_RATES or min(crop) >= min(data.largest_size):
        chooser.choose("atrous_rates", ",".join(map(str, ASPP_RATES)), "of the baseline's ASPP, the published ones")
        return
    reason = f"of the baseline's ASPP; larger ones would see only padding in the {cells} feature cells of a crop"
    chooser.choose("atrous_rates", ",".join(map(str, rates)), reason)


def _batch(data: Fingerprint, learning: float, per_image: float, chooser: Chooser) -> int:
    size = next(size for size, steps in BATCHES.items() if learning / (size * per_image) >= steps)
    size = max(1, min(size, data.train))
    count = learning / (size * per_image)
    return int(chooser.choose("train_batch_size", size, f"which leaves about {count:,.0f} steps in all"))


def _optimizer(chooser: Chooser, batch: int, is_short: bool) -> None:
    """Chooses the optimizer, and the learning rates of the baseline and of all later trainings."""
    given = chooser.given
    from_scratch, has_rate = "tf_initial_checkpoint" not in given, "base_learning_rate" in given
    if has_rate:
        planned, why = MOMENTUM, "the default of train, since --base_learning_rate is given"
    elif is_short and not from_scratch:
        planned, why = ADAM, f"from a checkpoint it learns faster in trainings of fewer than {SHORT_STEPS:,} steps"
    else:
        length = "from scratch" if from_scratch else f"of {SHORT_STEPS:,} steps or more"
        planned, why = MOMENTUM, f"the published one, for trainings {length}"
    if chooser.choose("optimizer", planned, why) == MOMENTUM:
        base = 0.05 if is_short else 0.02
        value = round(base * min(1.0, batch / 8), 5)
        length = "short trainings learn" if is_short else "a long training learns"
        why = f"{length} best at {base:g} for a batch of 8; here it is {batch}"
    else:
        value, why = ADAM_RATE, "short trainings from a checkpoint learn best at this rate"
    chooser.choose("base_learning_rate", value, why)
    doubled = from_scratch and not has_rate and chooser.choices["optimizer"].value == MOMENTUM
    reason = "twice that, since the backbone starts from scratch" if doubled else "the same"
    first = given.get("base_learning_rate", 2 * value if doubled else value)
    chooser.choices["baseline_learning_rate"] = Choice(first, reason)
