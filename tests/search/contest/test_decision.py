"""Who can still win: hand-computed values, clear winners and ties."""

import numpy as np
import pytest

from deeplab_dpc.search.contest.decision import (
    PRIOR_DEVIATION,
    can_still_win,
    difference_interval,
    draw_means,
    probability_of_best,
    seed_deviation,
)

ALIVE = np.ones(4, dtype=bool)


def _samples(scores, spread=0.0, seed=0, resamples=500):
    """The scores on drawn images; what the images do is common to all finalists and seeds."""
    common = np.random.default_rng(seed).normal(0.0, spread, resamples) if spread else np.zeros(resamples)
    return [np.array(values)[:, np.newaxis] + common for values in scores]


def _draws(*scores, spread=0.0):
    return draw_means([np.array(values) for values in scores], _samples(scores, spread))


def test_deviation_of_one_seed_is_the_prior():
    assert seed_deviation([np.array([0.5]), np.array([0.9])]) == (PRIOR_DEVIATION, 4)


def test_deviation_is_pooled_over_finalists_with_the_prior():
    # Sums of squares 2 * 0.01^2 and 2 * 0.02^2 in 1 + 1 degrees of freedom, and 4 * 0.01^2 of the prior in 4.
    deviation, freedom = seed_deviation([np.array([0.49, 0.51]), np.array([0.68, 0.72])])
    assert freedom == 6
    assert deviation == pytest.approx(np.sqrt((4e-4 + 2e-4 + 8e-4) / 6))


def test_draws_are_centred_on_the_scores_and_spread_as_the_seeds_are():
    draws = _draws([0.5], [0.5, 0.5, 0.5, 0.5])
    assert draws.shape == (5000, 2)
    np.testing.assert_allclose(draws.mean(axis=0), 0.5, atol=0.001)
    # Four seeds that agree: 4 * 0.01^2 in 4 + 3 degrees of freedom; Student's t has nu / (nu - 2) times the variance.
    variance = 4e-4 / 7 * 7 / 5
    np.testing.assert_allclose(draws.std(axis=0), [variance**0.5, variance**0.5 / 2], rtol=0.1)


def test_what_images_do_to_all_alike_cancels_out():
    low, high = difference_interval(_draws([0.55], [0.5], spread=0.2), 0, 1)
    same = difference_interval(_draws([0.55], [0.5], spread=0.0), 0, 1)
    assert (low, high) == pytest.approx(same, abs=1e-9)
    assert 0.01 < low < 0.05 < high < 0.09


def test_image_without_labels_in_a_sample_changes_nothing():
    samples = _samples([[0.5], [0.4]], spread=0.01)
    samples[0][:, 3] = np.nan
    assert np.isfinite(draw_means([np.array([0.5]), np.array([0.4])], samples)).all()


def test_probabilities_are_shares_of_draws_and_equal_ones_share():
    draws = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 1.0], [3.0, 2.0, 1.0], [2.0, 2.0, 2.0]])
    np.testing.assert_allclose(probability_of_best(draws), np.array([2 + 1 / 3, 1 / 2 + 1 / 3, 1 / 2 + 1 / 3]) / 4)


def test_finalists_far_behind_leave():
    stays = can_still_win(np.array([0.6, 0.3, 0.08, 0.02]), np.array([0.5, 0.49, 0.48, 0.47]), ALIVE, 0.05)
    assert stays.tolist() == [True, True, True, False]


def test_two_go_on_however_clear_it_is_and_of_equal_ones_the_better():
    stays = can_still_win(np.array([0.0, 1.0, 0.0, 0.0]), np.array([0.3, 0.6, 0.2, 0.31]), ALIVE, 0.05)
    assert stays.tolist() == [False, True, False, True]


def test_who_diverged_leaves_though_two_are_to_go_on():
    alive = np.array([False, True, False, False])
    assert can_still_win(np.array([0.0, 1.0, 0.0, 0.0]), np.zeros(4), alive, 0.05).tolist() == alive.tolist()
    assert not can_still_win(np.zeros(4), np.zeros(4), np.zeros(4, dtype=bool), 0.05).any()


def test_many_that_are_alike_all_stay():
    probabilities = probability_of_best(_draws(*[[0.5]] * 50))
    np.testing.assert_allclose(probabilities, 0.02, atol=0.01)
    assert can_still_win(probabilities, np.full(50, 0.5), np.ones(50, dtype=bool), 0.05).all()


@pytest.mark.parametrize("seed", range(5))
def test_clear_winner_wins_and_is_said_to_be_clear(seed):
    rng = np.random.default_rng(seed)
    truth = np.array([0.50, 0.60, 0.51, 0.49, 0.52])
    draws = _draws(*(mean + rng.normal(0, 0.005, 2) for mean in truth), spread=0.03)
    probabilities = probability_of_best(draws)
    assert probabilities.argmax() == 1
    assert probabilities[1] > 0.95
    assert difference_interval(draws, 1, 4)[0] > 0


@pytest.mark.parametrize("seed", range(5))
def test_of_equals_none_is_clearly_the_best(seed):
    rng = np.random.default_rng(seed)
    draws = _draws(*(0.5 + rng.normal(0, 0.005, 2) for _ in range(5)), spread=0.03)
    probabilities = probability_of_best(draws)
    assert probabilities.max() < 0.95
    low, high = difference_interval(draws, *np.argsort(-probabilities)[:2])
    assert low < 0 < high


def test_decisions_are_the_same_every_time():
    np.testing.assert_array_equal(_draws([0.5, 0.51], [0.49], spread=0.01), _draws([0.5, 0.51], [0.49], spread=0.01))
