"""Tests of the signals that rank cells by proxy."""

import math

import pytest

from deeplab_dpc.config import SearchConfig
from deeplab_dpc.config.search import PROXY_SIGNALS
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.scored import ProxyScore


def _score(signal, **fields):
    return ProxyScore(0.5, 1.0, 1.0, 10.0, 20, ((20, 0.5),), 0.0, signal=signal, **fields)


def test_the_signal_ranks_and_more_of_it_is_better():
    points = ((10, 0.1, 1.5), (20, 0.5, 0.75))
    assert _score("miou", cross_entropy=0.75, points=points).rank_key == (20, 0.5)
    assert _score("cross_entropy", cross_entropy=0.75, points=points).rank_key == (20, -0.75)
    assert _score("mean_miou", cross_entropy=0.75, points=points).rank_key == (20, pytest.approx(0.3))
    assert _score("last_loss").rank_key == (20, -1.0)
    assert _score("loss_sum").rank_key == (20, -10.0)


def test_a_training_that_diverged_ranks_last_by_any_signal():
    for signal in PROXY_SIGNALS:
        diverged = ProxyScore(0.0, math.inf, 1.0, math.inf, 20, signal=signal)
        assert diverged.rank_key < (1, -math.inf)
        assert diverged.rank_value < _score(signal, cross_entropy=9.0, points=((20, 0.1, 9.0),)).rank_value


def test_the_signal_is_kept_and_is_miou_in_scores_of_earlier_versions():
    score = _score("cross_entropy", cross_entropy=0.75)
    assert ProxyScore.from_json(score.to_json()) == score
    earlier = {name: value for name, value in score.to_json().items() if name != "signal"}
    assert ProxyScore.from_json(earlier).signal == "miou"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"proxy_signal": "loss"},
            "--proxy_signal must be one of miou, cross_entropy, mean_miou, last_loss, loss_sum, got loss",
        ),
        ({"proxy_signal": "mean_miou"}, "--proxy_signal=mean_miou is a mean over several scores: give"),
        (
            {"proxy_signal": "cross_entropy", "proxy_features": "end_to_end"},
            "--proxy_signal=cross_entropy is known on cached features only",
        ),
        (
            {"proxy_signal": "cross_entropy", "halving_rungs": 2},
            "--proxy_signal=cross_entropy cannot be combined with --halving_rungs=2",
        ),
    ],
)
def test_a_signal_that_is_not_there_is_refused(fields, message):
    with pytest.raises(UserError, match=message):
        SearchConfig(**fields)
