"""Who can still win a contest: functions of the scores alone.

What may be luck in a mean score has two parts. Which images are in the split: the bootstrap over images, with the same
drawn images for all finalists, so that what makes an image hard for all cancels out. And the seed of the training: the
mean of n seeds is spread by s / sqrt(n), where s is estimated from all finalists together, since two or three seeds of
one say little. Until there are seeds to compare, s is a prior: one point of mIOU, as if it had been seen in four
degrees of freedom (measured spreads are 0.3 to 1.3 points). s itself is uncertain, so that the draws have Student's t
distribution. That finalists with the same seed see the same images in the same order is not used: it could only make
the differences narrower.
"""

from collections.abc import Sequence

import numpy as np

PRIOR_DEVIATION = 0.01  # of the mIOU between seeds
PRIOR_FREEDOM = 4
NOISE_DRAWS = 10  # of the seeds' part for each sample of the images
KEPT = 2  # finalists that go on at least, so that the last round is a comparison
CLEAR = 0.95  # probability from which on a winner is clear
CONFIDENCE = 0.95  # of intervals


def seed_deviation(scores: Sequence[np.ndarray]) -> tuple[float, int]:
    """Returns the standard deviation of the mIOU between seeds, with the prior in it, and its degrees of freedom.

    Args:
      scores: the mIOU of each finalist by seed, float64 [seeds], in [0, 1].
    """
    freedom = PRIOR_FREEDOM + sum(len(values) - 1 for values in scores)
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in scores)
    return float(np.sqrt((PRIOR_FREEDOM * PRIOR_DEVIATION**2 + squares) / freedom)), freedom


def draw_means(scores: Sequence[np.ndarray], samples: Sequence[np.ndarray], seed: int = 0) -> np.ndarray:
    """Returns draws of what each finalist's mean mIOU may really be, float64 [draws, finalists].

    Args:
      scores: the mIOU of each finalist by seed, float64 [seeds].
      samples: the mIOU of the same trainings on drawn images, float64 [seeds, resamples], the images of a resample
        being the same for all; nan where no labelled image was drawn.
      seed: seed of the draws of the seeds' part.
    """
    rng = np.random.default_rng(seed)
    resamples = samples[0].shape[1]
    # Centred on the score of all images, which the table shows; the samples say how it is spread.
    deviations = np.stack([_deviation(values).mean(axis=0) for values in samples], axis=1)
    deviation, freedom = seed_deviation(scores)
    scale = deviation * np.sqrt(freedom / rng.chisquare(freedom, (NOISE_DRAWS * resamples, 1)))
    counts = np.array([len(values) for values in scores])
    noise = scale * rng.standard_normal((NOISE_DRAWS * resamples, len(scores))) / np.sqrt(counts)
    means: np.ndarray = np.array([values.mean() for values in scores]) + np.tile(deviations, (NOISE_DRAWS, 1)) + noise
    return means


def _deviation(samples: np.ndarray) -> np.ndarray:
    """Returns the samples less their mean over the resamples; 0 for a sample that is nan."""
    known = np.isfinite(samples)
    total = np.where(known, samples, 0.0).sum(axis=1, keepdims=True)
    mean = total / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.where(known, samples - mean, 0.0)


def probability_of_best(draws: np.ndarray) -> np.ndarray:
    """Returns the share of the draws in which each finalist is the best, float64 [finalists].

    Finalists that are equal in a draw share it.
    """
    is_best = draws == draws.max(axis=1, keepdims=True)
    probabilities: np.ndarray = (is_best / is_best.sum(axis=1, keepdims=True)).mean(axis=0)
    return probabilities


def can_still_win(probabilities: np.ndarray, means: np.ndarray, alive: np.ndarray, threshold: float) -> np.ndarray:
    """Returns who goes on to the next round, bool [finalists].

    A finalist leaves if its probability of being the best is below `threshold` times that of the most probable one.
    (Not below the threshold itself: of fifty that are alike each has a probability of 0.02, and all of them can win.)
    The two most probable always go on; of equal ones, those with the higher mean.

    Args:
      probabilities: probabilities of being the best, float64 [finalists].
      means: the mIOU, float64 [finalists].
      alive: False for those that leave whatever their scores, since a training diverged or could not be done, bool.
      threshold: in [0, 1].
    """
    stays: np.ndarray = alive & (probabilities >= threshold * probabilities[alive].max(initial=0.0))
    order = np.lexsort((-means, -probabilities))
    stays[order[alive[order]][:KEPT]] = True
    return stays


def difference_interval(draws: np.ndarray, first: int, second: int) -> tuple[float, float]:
    """Returns the 95 % interval of how much better the first finalist is than the second."""
    tails = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(draws[:, first] - draws[:, second], [tails, 100 - tails])
    return float(low), float(high)
