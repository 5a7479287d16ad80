"""Rank correlations and their intervals, by hand and against SciPy."""

import math

import numpy as np
import pytest
import scipy.stats

from deeplab_dpc.search.rank_correlation import correlate, kendall, rho_difference, spearman


def test_coefficients_without_ties_by_hand():
    x, y = [1, 2, 3, 4], [1, 3, 2, 4]
    assert spearman(x, y) == pytest.approx(1 - 6 * 2 / (4 * 15))  # rank differences 0, 1, 1, 0
    assert kendall(x, y) == pytest.approx((5 - 1) / 6)  # 5 pairs agree, one does not


def test_coefficients_with_ties_by_hand():
    x, y = [1, 2, 2, 3], [10, 20, 30, 40]
    # Centred ranks -1.5, 0, 0, 1.5 and -1.5, -0.5, 0.5, 1.5.
    assert spearman(x, y) == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    assert kendall(x, y) == pytest.approx(5 / math.sqrt(5 * 6))  # 5 of 6 pairs agree, one ties in x


@pytest.mark.parametrize("n", [3, 31, 81])
def test_coefficients_are_those_of_scipy_on_data_with_ties(rng, n):
    x = rng.integers(0, 6, n)
    y = x + rng.integers(0, 9, n)
    assert spearman(x, y) == pytest.approx(scipy.stats.spearmanr(x, y).statistic, abs=1e-12)
    assert kendall(x, y) == pytest.approx(scipy.stats.kendalltau(x, y).statistic, abs=1e-12)


def test_only_the_order_counts():
    x = np.array([0.41, 0.12, 0.33, 0.39, 0.05])
    y = np.array([0.61, 0.52, 0.50, 0.66, 0.40])
    assert spearman(np.exp(9 * x), y) == spearman(x, y)
    assert kendall(x, -y) == -kendall(x, y)


def test_infinite_scores_rank_last_and_tie_with_each_other():
    assert spearman([-math.inf, -math.inf, 1, 2], [1, 2, 3, 4]) == spearman([0, 0, 1, 2], [1, 2, 3, 4])


def test_a_resample_is_a_repetition_of_points(rng):
    """The weights of the bootstrap give what SciPy gives for the repeated points."""
    x, y = rng.integers(0, 5, 12), rng.integers(0, 5, 12)
    counts = np.random.default_rng(7).multinomial(12, np.full(12, 1 / 12), 400)
    repeated = [(np.repeat(x, count), np.repeat(y, count)) for count in counts]
    rho = [scipy.stats.spearmanr(*points).statistic for points in repeated]
    tau = [scipy.stats.kendalltau(*points).statistic for points in repeated]
    correlation = correlate(x, y, resamples=400, seed=7)
    assert correlation.rho_interval == pytest.approx(tuple(np.percentile(rho, [2.5, 97.5])))
    assert correlation.tau_interval == pytest.approx(tuple(np.percentile(tau, [2.5, 97.5])))
    assert correlation.left_out == 0


def test_intervals_cover_the_true_correlation(rng):
    """Of 100 samples of 40 points, nearly as many intervals as the 95 % they promise hold the population's rho."""
    population = 6 / math.pi * math.asin(0.6 / 2)  # Spearman's rho of a normal pair that correlates by 0.6
    covered = 0
    for _ in range(100):
        x = rng.normal(size=40)
        y = 0.6 * x + 0.8 * rng.normal(size=40)
        low, high = correlate(x, y, resamples=200).rho_interval
        covered += low <= population <= high
    assert 87 <= covered <= 99


def test_intervals_are_the_same_for_the_same_seed(rng):
    x, y = rng.normal(size=20), rng.normal(size=20)
    assert correlate(x, y, seed=3) == correlate(x, y, seed=3)
    assert correlate(x, y, seed=3).rho_interval != correlate(x, y, seed=4).rho_interval


def test_resamples_in_which_all_points_tie_are_left_out():
    """Of 3 points, 3 of 27 resamples repeat one point; with two equal in x there are 9 that tie: 8 of 2 and 1 of 1."""
    correlation = correlate([1, 1, 2], [1, 2, 3], resamples=27_000)
    assert correlation.left_out == pytest.approx(9_000, rel=0.05)
    assert not any(map(math.isnan, (*correlation.rho_interval, *correlation.tau_interval)))
    assert correlation.undefined is None


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        ([], [], "too few cells, 0; 3 are the least"),
        ([1, 2], [1, 2], "too few cells, 2; 3 are the least"),
        ([5, 5, 5], [1, 2, 3], "all cells have the same score"),
        ([1, 2, 3], [4, 4, 4], "all cells have the same score"),
    ],
)
def test_what_has_no_correlation_says_why(x, y, reason):
    correlation = correlate(x, y, resamples=10)
    assert correlation.undefined == reason
    assert all(map(math.isnan, (correlation.rho, correlation.tau, *correlation.rho_interval)))
    assert rho_difference(x, x, y, resamples=10).undefined == reason


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2, 3], [1, 2], r"one value a point, got shapes \(3,\), \(2,\)"),
        ([1, math.nan, 3], [1, 2, 3], "must not be nan"),
    ],
)
def test_scores_that_do_not_fit_are_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        correlate(x, y)


def test_a_difference_is_paired():
    """Two predictors that rank alike do not differ in any resample, however wide their own intervals are."""
    x, y = np.array([1, 2, 3, 4, 5, 6]), [2, 1, 4, 3, 6, 5]
    difference = rho_difference(x, x**2, y)
    assert (difference.value, difference.interval) == (0, (0, 0))


def test_a_difference_has_the_sign_of_the_better_predictor(rng):
    y, noise = np.arange(40), rng.permutation(40)
    opposite = rho_difference(y, -y, y, resamples=200)
    assert (opposite.value, *opposite.interval) == pytest.approx((2, 2, 2))
    difference = rho_difference(y, noise, y, resamples=200)
    assert difference.value == pytest.approx(1 - spearman(noise, y))
    assert 0 < difference.interval[0] < difference.value < difference.interval[1]
