"""The decision which finalists can still win a contest, as functions of the scores.

The uncertainty of a mean score has two sources. The first is the choice of the images in the split: it is estimated by
the bootstrap over images, with the same resamples for all finalists, so that images that are hard for all cancel out.
The second is the seed of the training: the mean of n seeds has a standard error of s / sqrt(n), where s is estimated
from all finalists together, since two or three seeds of one finalist tell little. Before there are seeds to compare, s
is a prior: one point of mIOU, with the weight of four degrees of freedom (measured spreads are 0.3 to 1.3 points). s
itself is uncertain, so that the draws have Student's t distribution. The fact that finalists with the same seed see the
same images in the same order is not used: it could only make the differences narrower.
"""

from collections.abc import Sequence

import numpy as np

PRIOR_DEVIATION = 0.01  # prior standard deviation of the mIOU between seeds
PRIOR_FREEDOM = 4
NOISE_DRAWS = 10  # draws of the effect of seeds for each resample of the images
KEPT = 2  # smallest number of finalists that go on, so that the last round is a comparison
CLEAR = 0.95  # probability from which on a winner is clear
CONFIDENCE = 0.95  # confidence level of intervals


def seed_deviation(scores: Sequence[np.ndarray]) -> tuple[float, int]:
    """Returns the standard deviation of the mIOU between seeds, which includes the prior, and its degrees of freedom.

    Args:
      scores: mIOU of each finalist by seed, float64 [seeds], in [0, 1].
    """
    freedom = PRIOR_FREEDOM + sum(len(values) - 1 for values in scores)
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in scores)
    return float(np.sqrt((PRIOR_FREEDOM * PRIOR_DEVIATION**2 + squares) / freedom)), freedom


def draw_means(scores: Sequence[np.ndarray], samples: Sequence[np.ndarray]) -> np.ndarray:
    """Returns draws of each finalist's true mean mIOU, float64 [draws, finalists].

    Args:
      scores: mIOU of each finalist by seed, float64 [seeds].
      samples: mIOU of the same trainings on resampled images, float64 [seeds, resamples], where a resample has the same
        images for all; nan if no labelled image was drawn.
    """
    rng = np.random.default_rng(0)  # of the effect of training seeds
    resamples = samples[0].shape[1]
    # Centred on the score of all images, which the table shows; the samples only give the spread.
    deviations = np.stack([_deviation(values).mean(axis=0) for values in samples], axis=1)
    deviation, freedom = seed_deviation(scores)
    scale = deviation * np.sqrt(freedom / rng.chisquare(freedom, (NOISE_DRAWS * resamples, 1)))
    counts = np.array([len(values) for values in scores])
    noise = scale * rng.standard_normal((NOISE_DRAWS * resamples, len(scores))) / np.sqrt(counts)
    means: np.ndarray = np.array([values.mean() for values in scores]) + np.tile(deviations, (NOISE_DRAWS, 1)) + noise
    return means


def _deviation(samples: np.ndarray) -> np.ndarray:
    """Returns the deviations of the samples from their mean over the resamples; 0 for a sample that is nan."""
    known = np.isfinite(samples)
    total = np.where(known, samples, 0.0).sum(axis=1, keepdims=True)
    mean = total / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.where(known, samples - mean, 0.0)


def probability_of_best(draws: np.ndarray) -> np.ndarray:
    """Returns the share of the draws in which each finalist is the best, float64 [finalists].

    Finalists that tie in a draw share it.
    """
    is_best = draws == draws.max(axis=1, keepdims=True)
    probabilities: np.ndarray = (is_best / is_best.sum(axis=1, keepdims=True)).mean(axis=0)
    return probabilities


def can_still_win(probabilities: np.ndarray, means: np.ndarray, alive: np.ndarray, threshold: float) -> np.ndarray:
    """Returns which finalists go on to the next round, bool [finalists].

    A finalist leaves if its probability of being the best is below `threshold` times the largest such probability. (A
    fixed threshold would not do: among fifty equal finalists each has a probability of 0.02, and all of them can win.)
    The two most probable always go on; if probabilities tie, those with the higher mean.

    Args:
      probabilities: probabilities of being the best, float64 [finalists].
      means: mIOU, float64 [finalists].
      alive: bool [finalists], False for finalists that leave regardless of their scores, since a training diverged or
        could not be done.
      threshold: share of the largest probability, in [0, 1].
    """
    stays: np.ndarray = alive & (probabilities >= threshold * probabilities[alive].max(initial=0.0))
    order = np.lexsort((-means, -probabilities))
    stays[order[alive[order]][:KEPT]] = True
    return stays


def difference_interval(draws: np.ndarray, first: int, second: int) -> tuple[float, float]:
    """Returns the 95 % interval of the first finalist's score minus the second's."""
    tails = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(draws[:, first] - draws[:, second], [tails, 100 - tails])
    return float(low), float(high)
