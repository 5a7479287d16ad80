"""The choices of the plan of `fit` about the search: whether there is one, and its sizes.

They are pure functions, and are made again when the baseline has measured the time of trainings and evaluations.
"""

import math
import re

from deeplab_dpc.arch.fitting import aspp_name
from deeplab_dpc.cli.fit_choices import Choice, Choices, Chooser, Given
from deeplab_dpc.cli.fit_schedule import (
    BASELINE_SHARE,
    CONTEST_SHARE,
    SEARCH_SHARE,
    Fingerprint,
    guessed_cell_seconds,
)

LEAST_IMAGES = 40  # of train; with fewer, differences between cells are not significant
LEAST_VAL_IMAGES = 8
LEAST_CONTEST_STEPS, LEAST_TWO_ROUNDS, LEAST_TWO_SEEDS = 50, 200, 400
# A contest of fewer epochs, up to so many steps, ranks cells by how fast they learn (docs/fit.md has a measurement).
LEAST_CONTEST_EPOCHS, ENOUGH_CONTEST_STEPS = 5, 500
# If all of the time has fewer epochs of one training, more training gains more than a better cell (docs/fit.md has a
# measurement); so many steps, the published number, are enough with any number of images.
LEAST_SEARCH_EPOCHS, ENOUGH_SEARCH_STEPS = 250, 30_000
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
    chooser = Chooser(given)
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
    if alone < 1:
        return 0, steps, "no time is left for it; the baseline is the only training"
    if alone < needed:
        reason = (
            f"too little time: a single training would have {alone:,.0f} steps in all of it, and below {needed:,.0f} "
            "steps more training gains more than a better cell; the baseline is trained on instead"
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
    data: Fingerprint, learning: float, finalists: int, steps: int, step: float, aspp: str, chooser: Chooser
) -> None:
    """Chooses the size of the search: cells, steps and views of the proxy, and the contest's rounds and seeds."""
    choose = chooser.choose
    seconds = SEARCH_SHARE * learning
    warm = (aspp, *BESIDE_ASPP)[: 2 if finalists < max(FINALISTS) else 4]
    warm_starts = str(
        choose("warm_starts", ",".join(warm), "known cells, which are finalists regardless of their scores")
    )
    if aspp not in warm_starts.split(","):
        added = ",".join(filter(None, (aspp, warm_starts)))
        chooser.choices["warm_starts"] = Choice(added, "given on the command line, with ASPP added", given=True)
    choose("rerank_top_k", finalists - len(warm), f"{finalists} finalists with the warm starts")
    proxy_steps = 100 if seconds < 120 else 200 if seconds < 600 else 400 if seconds < 3600 else 1000
    choose(
        "proxy_steps",
        proxy_steps,
        f"about {seconds:.0f} s are available for the search, which must score several cells",
    )
    choose("proxy_batch_size", min(8, data.train), "the paper's")
    choose("proxy_learning_rate", 0.05, "few steps learn best at a high rate")
    views = 4 if data.train <= 500 and seconds >= 300 else 0
    many = f"{data.train} images, which a cell with many weights would overfit without augmented views"
    choose("feature_views", views, many if views else "each image once, as the time is short or the images many")
    cell_seconds = guessed_cell_seconds(proxy_steps, step)
    count = max(4, min(1000, int(seconds / cell_seconds) - len(warm)))
    choose("num_candidates", count, f"about {cell_seconds:.0f} s per cell, a guess")
    several = steps >= LEAST_TWO_ROUNDS
    because = "finalists that cannot win are dropped after the first" if several else "too few steps for several"
    rounds = choose("contest_rounds", 2 if several else 1, because)
    again = rounds > 1 and steps >= LEAST_TWO_SEEDS
    because = "enough steps for a second seed in the last round" if again else "too few steps for more"
    choose("contest_seeds", 2 if again else 1, because)
