"""Calibration of the contest's probabilities, by simulated contests whose best finalist is known.

    python benchmarks/contest.py

The true mIOU of the finalists is normal with a given spread. The measured mIOU has an error for each finalist from the
images of the split, and one from the seed of each training; in the first round, with half the steps, also one of half
the spread, since short trainings rank finalists differently. There are two rounds, with one and two seeds, as by
default.
"""

import dataclasses

import numpy as np

from deeplab_dpc.console import print_table
from deeplab_dpc.search.contest.decision import CLEAR, can_still_win, draw_means, probability_of_best

CONTESTS = 300  # number of contests of each setting
SEEDS = (1, 2)  # numbers of seeds of the rounds
RESAMPLES = 300
ALL_ALIKE = 0.02  # standard deviation of the error of mIOU that the drawn images cause for all finalists alike
THRESHOLD = 0.05  # --contest_threshold


@dataclasses.dataclass(frozen=True)
class Setting:
    """The standard deviations of the mIOU: between finalists, between seeds, and by images."""

    finalists: int
    spread: float
    seeds: float
    images: float


SETTINGS = (
    Setting(8, 0.02, 0.006, 0.006),
    Setting(8, 0.01, 0.006, 0.006),
    Setting(8, 0.005, 0.006, 0.006),
    Setting(8, 0.0, 0.006, 0.006),
    Setting(8, 0.02, 0.013, 0.01),
    Setting(54, 0.01, 0.006, 0.006),
)


def contest(setting: Setting, rng: np.random.Generator) -> tuple[float, float, int]:
    """Returns the difference in mIOU between the best finalist and the winner, the probability that the winner is the
    best, and the number of remaining finalists.
    """
    truth = rng.normal(0.5, setting.spread, setting.finalists)
    seen = truth + rng.normal(0, setting.images, setting.finalists)
    racing, share = np.arange(setting.finalists), 1.0
    for number, seeds in enumerate(SEEDS):
        is_last = number == len(SEEDS) - 1
        early = 0.0 if is_last else rng.normal(0, setting.spread / 2, len(racing))
        scores = [mean + rng.normal(0, setting.seeds, seeds) for mean in seen[racing] + early]
        common = rng.normal(0, ALL_ALIKE, RESAMPLES)
        samples = [one[:, np.newaxis] + common + rng.normal(0, setting.images, RESAMPLES) for one in scores]
        probabilities = probability_of_best(draw_means(scores, samples))
        means = np.array([one.mean() for one in scores])
        if not is_last:
            stays = can_still_win(probabilities, means, np.ones(len(racing), dtype=bool), THRESHOLD)
            share *= probabilities[stays].sum()
            racing = racing[stays]
    winner = means.argmax()
    return truth.max() - truth[racing[winner]], share * probabilities[winner], len(racing)


def row(setting: Setting) -> list[str]:
    """Returns the row of a setting, with the results of its contests."""
    rng = np.random.default_rng(0)
    regret, said, left = map(np.array, zip(*(contest(setting, rng) for _ in range(CONTESTS)), strict=True))
    right = regret == 0 if setting.spread else np.full(CONTESTS, 1 / setting.finalists)
    clear = said >= CLEAR
    deviations = [f"{100 * value:g}" for value in (setting.spread, setting.seeds, setting.images)]
    return [
        str(setting.finalists),
        *deviations,
        f"{100 * right.mean():.0f} %",
        f"{100 * said.mean():.0f} %",
        f"{100 * regret.mean():.2f}",
        f"{100 * clear.mean():.0f} %",
        f"{100 * right[clear].mean():.0f} %" if clear.any() else "-",
        f"{left.mean():.1f}",
    ]


def main() -> None:
    """Prints the table."""
    columns = ("finalists", "spread", "seeds", "images", "winner is the best", "stated probability", "points lost",
               "called clear", "correct if called clear", "in the last round")  # fmt: skip
    print_table(f"{CONTESTS} contests each; deviations in points of mIOU", columns, [row(one) for one in SETTINGS])


if __name__ == "__main__":
    main()
