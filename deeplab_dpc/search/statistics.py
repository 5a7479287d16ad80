"""Intervals and running values of the report."""

import math

import numpy as np

CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.959964  # bound of the middle 95 % of a normal distribution
RESAMPLES, SEED = 1000, 0
CHUNK = 4_000_000  # resampled indices that are held in memory at a time

Interval = tuple[float, float]


def mean_interval(values: np.ndarray) -> Interval:
    """Returns the 95 % percentile bootstrap interval of the mean of at least one value (Efron and Tibshirani, 1993, ch.
    13).
    """
    return _middle(_bootstrap_means(values, np.random.default_rng(SEED)))


def difference_interval(values: np.ndarray, others: np.ndarray) -> Interval:
    """Returns the 95 % bootstrap interval of mean(values) - mean(others), both resampled; each has at least one
    value.
    """
    rng = np.random.default_rng(SEED)
    return _middle(_bootstrap_means(values, rng) - _bootstrap_means(others, rng))


def share_interval(share: float, n: int) -> Interval:
    """Returns Wilson's 95 % interval of a share of n (Wilson, 1927, doi:10.1080/01621459.1927.10502953); n >= 1."""
    spread = NORMAL_QUANTILE**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = NORMAL_QUANTILE * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def pareto_front(cost: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Returns the indices of the points on the Pareto front, cheapest first: no other point is at least as cheap and as
    good, and better in one of the two.

    Of equal points the first is kept; a point whose score is nan is never on the front.
    """
    front = []
    best = -math.inf
    for place in np.lexsort((-score, cost)):  # nan comes last among equal costs, and exceeds no score
        if score[place] > best:
            best = score[place]
            front.append(place)
    return np.array(front, dtype=np.int64)


def _bootstrap_means(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns the mean of each resample, float64 [RESAMPLES]."""
    n = len(values)
    chunk = max(1, CHUNK // n)
    sizes = [min(chunk, RESAMPLES - start) for start in range(0, RESAMPLES, chunk)]
    return np.concatenate([values[rng.integers(n, size=(size, n))].mean(axis=1) for size in sizes])


def _middle(samples: np.ndarray) -> Interval:
    tails = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(samples, [tails, 100 - tails])
    return float(low), float(high)
