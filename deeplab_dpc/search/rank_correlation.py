"""Rank correlations with bootstrap intervals over the points (Efron and Tibshirani, 1993, ch. 13).

With s(x)[i, j] the sign of x[i] - x[j], both coefficients are cosines (Daniels, 1944, doi:10.1093/biomet/33.2.129):
Kendall's tau-b of the matrices s(x) and s(y), and Spearman's rho of their row sums, which are twice the centred ranks,
ties sharing their mean rank. A resample that has point i w[i] times has sums weighted by w[i] * w[j] and w[i], so that
all resamples come from two matrices of the given points: time and memory grow with the square of their number, which
is a few dozen cells here.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

CONFIDENCE = 0.95
LEAST_POINTS = 3  # two points can only agree or disagree, which is no evidence

Interval = tuple[float, float]
Values = Sequence[float] | np.ndarray


@dataclasses.dataclass(frozen=True)
class Correlation:
    """The rank correlation between two scores.

    Attributes:
      n: number of points.
      rho: Spearman's rho, in [-1, 1]; nan if it is undefined.
      rho_interval: 95 % interval of the resamples.
      tau: Kendall's tau-b, in [-1, 1]; nan if it is undefined.
      tau_interval: 95 % interval of the resamples.
      left_out: number of resamples in which all points tie in one of the scores.
    """

    n: int
    rho: float
    rho_interval: Interval
    tau: float
    tau_interval: Interval
    left_out: int

    @property
    def undefined(self) -> str | None:
        """Returns as text why the coefficients are undefined; None if they are defined."""
        return _undefined(self.n, self.rho)


@dataclasses.dataclass(frozen=True)
class Difference:
    """The difference of Spearman's rho between two predictors, on the same points.

    Attributes:
      n: number of points.
      value: rho of the first minus rho of the second; nan if one is undefined.
      interval: 95 % interval of the resamples, each of which has the same points for both.
      left_out: number of resamples in which all points tie in one of the three scores.
    """

    n: int
    value: float
    interval: Interval
    left_out: int

    @property
    def undefined(self) -> str | None:
        """Returns as text why the difference is undefined; None if it is defined."""
        return _undefined(self.n, self.value)


def spearman(x: Values, y: Values) -> float:
    """Returns Spearman's rho, a float in [-1, 1]; nan for fewer than 3 points, or if all tie in x or in y."""
    signs_x, signs_y = _signs(x, y)
    return float(_spearman(signs_x, signs_y, np.ones((1, len(signs_x))))[0])


def kendall(x: Values, y: Values) -> float:
    """Returns Kendall's tau-b, a float in [-1, 1]; nan for fewer than 3 points, or if all tie in x or in y."""
    signs_x, signs_y = _signs(x, y)
    return float(_kendall(signs_x, signs_y, np.ones((1, len(signs_x))))[0])


def correlate(x: Values, y: Values, resamples: int = 1000, seed: int = 0) -> Correlation:
    """Returns both coefficients with their intervals.

    Args:
      x, y: scores of each point; infinite values rank first or last.
      resamples: number of resamples of the points, drawn with replacement.
      seed: seed of the resamples; they are the same for the same number of points, so that two predictors can be
        compared in pairs.

    Raises:
      ValueError: if x and y differ in length, or one has a nan.
    """
    signs = _signs(x, y)
    weights = _resample(len(x), resamples, seed)
    rho, tau = _spearman(*signs, weights), _kendall(*signs, weights)
    left_out = int(np.isnan(rho).sum())
    return Correlation(len(x), spearman(x, y), _interval(rho), kendall(x, y), _interval(tau), left_out)


def rho_difference(first: Values, second: Values, y: Values, resamples: int = 1000, seed: int = 0) -> Difference:
    """Returns Spearman's rho of `first` with y minus that of `second` with y.

    Args:
      first, second, y: scores of each point; infinite values rank first or last.
      resamples: number of resamples of the points, drawn with replacement.
      seed: seed of the resamples.

    Raises:
      ValueError: if the scores differ in length, or one has a nan.
    """
    weights = _resample(len(y), resamples, seed)
    samples = _spearman(*_signs(first, y), weights) - _spearman(*_signs(second, y), weights)
    return Difference(
        len(y), spearman(first, y) - spearman(second, y), _interval(samples), int(np.isnan(samples).sum())
    )


def _undefined(n: int, value: float) -> str | None:
    if n < LEAST_POINTS:
        return f"too few cells, {n}; {LEAST_POINTS} are the least"
    return "all cells have the same score" if math.isnan(value) else None


def _signs(x: Values, y: Values) -> tuple[np.ndarray, np.ndarray]:
    """Returns sign(x[i] - x[j]) and the same of y, float64 [n, n] each."""
    arrays = [np.asarray(values, dtype=np.float64) for values in (x, y)]
    if arrays[0].ndim != 1 or arrays[0].shape != arrays[1].shape:
        raise ValueError(f"Both scores must have one value a point, got shapes {arrays[0].shape}, {arrays[1].shape}.")
    if any(np.isnan(array).any() for array in arrays):
        raise ValueError("A score must not be nan: it has no rank.")
    # Compared, not subtracted: the difference of two infinities is nan.
    x_signs, y_signs = (
        np.greater.outer(array, array).astype(np.float64) - np.less.outer(array, array) for array in arrays
    )
    return x_signs, y_signs


def _resample(n: int, resamples: int, seed: int) -> np.ndarray:
    """Returns the number of times that each point is in each resample, float64 [resamples, n]."""
    if n == 0:
        return np.zeros((resamples, 0))
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), resamples).astype(np.float64)


def _spearman(signs_x: np.ndarray, signs_y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the rho of each resample, [resamples]."""
    x, y = weights @ signs_x.T, weights @ signs_y.T  # twice the centred ranks, [resamples, n]
    return _cosine((weights * x * y).sum(1), (weights * x * x).sum(1), (weights * y * y).sum(1), len(signs_x))


def _kendall(signs_x: np.ndarray, signs_y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the tau-b of each resample, [resamples]."""

    def over_pairs(terms: np.ndarray) -> np.ndarray:
        sums: np.ndarray = (weights @ terms * weights).sum(1)
        return sums

    return _cosine(over_pairs(signs_x * signs_y), over_pairs(signs_x**2), over_pairs(signs_y**2), len(signs_x))


def _cosine(product: np.ndarray, square_x: np.ndarray, square_y: np.ndarray, n: int) -> np.ndarray:
    """Returns product / sqrt(square_x * square_y), nan for 0 / 0 or too few points."""
    norm = np.sqrt(square_x * square_y)
    defined = (norm > 0) & (n >= LEAST_POINTS)
    return np.where(defined, product / np.where(norm > 0, norm, 1), np.nan)


def _interval(samples: np.ndarray) -> Interval:
    """Returns the middle 95 % of the samples that are not nan; (nan, nan) if there are none."""
    kept = samples[~np.isnan(samples)]
    if not len(kept):
        return (math.nan, math.nan)
    tails = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(kept, [tails, 100 - tails])
    return (float(low), float(high))
