"""The proxy evaluator on a small cache."""

import dataclasses
import gc
import json
import math

import numpy as np
import pytest
from tensorflow.python.framework.func_graph import FuncGraph

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.proxy import proxy_evaluator as proxy
from deeplab_dpc.search.proxy.cell_evaluator import Candidate
from deeplab_dpc.search.proxy.proxy_evaluator import ProxyEvaluator
from deeplab_dpc.search.scored import ProxyScore

CELL = load_cell("conv1x1")
CONFIG = SearchConfig(num_branches=1, cell_grids=(1,), proxy_steps=5, proxy_batch_size=4)


class AbortError(Exception):
    """What a caller raises to give a cell up."""


def _score(evaluator, cell, *callbacks):
    [score] = evaluator.evaluate([Candidate(cell, *callbacks)], evaluator.config.rung_steps)
    return score


@pytest.fixture(scope="module")
def evaluator(cache):
    return ProxyEvaluator(cache, CONFIG)


@pytest.fixture(scope="module")
def scored(evaluator):
    """The score of a cell, and its (step, loss) on the way."""
    steps: list[tuple[int, float]] = []
    return _score(evaluator, CELL, lambda step, loss: steps.append((step, loss))), steps


def test_score_sums_up_the_training(scored):
    score, steps = scored
    assert [step for step, _ in steps] == [1, 2, 3, 4, 5]
    assert score.loss_sum == pytest.approx(sum(loss for _, loss in steps))
    assert score.loss == steps[-1][1]  # a tenth of five steps is the last one
    assert (score.steps, score.rungs) == (5, ((5, score.miou),))
    assert 0.0 < score.miou <= 1.0


def test_cell_given_up_comes_through_and_leaves_the_next_score_as_it_is(evaluator, scored):
    def abort(step, loss):
        if step == 2:
            raise AbortError

    with pytest.raises(AbortError):
        _score(evaluator, CELL, abort)
    again = _score(evaluator, CELL)
    assert (again.miou, again.loss_sum) == (scored[0].miou, scored[0].loss_sum)


def test_another_cell_has_another_loss(evaluator, scored):
    other = Cell.from_json([{"kernel": 3, "rate": [1, 1], "op": "conv", "input": -1}])
    assert _score(evaluator, other).loss != scored[0].loss


def test_evaluators_of_other_seeds_and_budgets_take_the_same_program(cache, evaluator, scored):
    other = ProxyEvaluator(cache, dataclasses.replace(CONFIG, seed=1, proxy_steps=3))
    assert other._program(CELL) is evaluator._program(CELL)
    assert _score(other, CELL).loss_sum != pytest.approx(3 / 5 * scored[0].loss_sum, rel=1e-3)


def test_cell_that_does_not_fit_is_scored_by_a_larger_program(cache, evaluator, scored):
    own = ProxyEvaluator(cache, CONFIG)
    wide = Cell.from_json([{"op": "pyramid_pooling", "grid_size": [2, 3], "input": -1}])
    assert 0.0 < _score(own, wide).miou <= 1.0
    again = _score(own, CELL)
    assert own._program(CELL) is not evaluator._program(CELL)
    assert again.loss_sum == pytest.approx(scored[0].loss_sum, rel=1e-6)


def test_steps_in_windows_are_the_steps_of_one(cache, scored, monkeypatch):
    monkeypatch.setattr(proxy, "WINDOW_STEPS", 2)
    score = _score(ProxyEvaluator(cache, CONFIG), CELL)
    assert score.loss_sum == pytest.approx(scored[0].loss_sum, rel=1e-6)
    assert score.miou == pytest.approx(scored[0].miou, abs=1e-6)


def test_images_that_fill_up_the_last_batch_are_not_counted(cache, evaluator, monkeypatch):
    counted = []
    monkeypatch.setattr(proxy.ConfusionMatrix, "mean_iou", lambda self: counted.append(self.matrix.sum()) or 0.5)
    _score(evaluator, CELL)
    labels = cache.split("val").labels
    assert len(labels) % proxy.EVAL_BATCH_SIZE != 0
    assert counted == [np.count_nonzero(labels != cache.ignore_label)]


def test_exact_and_separated_loss_agree_in_training(cache, scored):
    exact = _score(ProxyEvaluator(cache, dataclasses.replace(CONFIG, proxy_loss_nodes=0)), CELL)
    assert scored[0].loss == pytest.approx(exact.loss, rel=1e-3)


def test_bfloat16_computes_in_half_precision_and_scores_nearly_the_same(cache, scored):
    half = ProxyEvaluator(cache, dataclasses.replace(CONFIG, proxy_precision="bfloat16"))
    score = _score(half, CELL)
    assert score.loss_sum == pytest.approx(scored[0].loss_sum, rel=2e-3)
    assert score.loss_sum != scored[0].loss_sum
    assert score.miou == pytest.approx(scored[0].miou, abs=0.02)


def test_training_on_features_learns(cache):
    evaluator = ProxyEvaluator(cache, dataclasses.replace(CONFIG, proxy_steps=40, proxy_learning_rate=0.05))
    losses = []
    _score(evaluator, CELL, lambda step, loss: losses.append(loss))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_training_that_diverges_ends_at_once_with_the_worst_score(cache):
    config = dataclasses.replace(CONFIG, proxy_steps=50, proxy_learning_rate=1e30)
    losses = []
    score = _score(ProxyEvaluator(cache, config), CELL, lambda step, loss: losses.append(loss))
    assert 1 < score.steps < 5
    assert (score.miou, score.loss, score.loss_sum) == (0.0, math.inf, math.inf)
    assert not math.isfinite(losses[-1])
    assert score.rungs == ((len(losses), 0.0),)


def test_rungs_are_trainings_of_their_own_length(cache, scored):
    """The second rung is what a search without halving scores: five steps from scratch."""
    evaluator = ProxyEvaluator(cache, dataclasses.replace(CONFIG, halving_rungs=2, halving_factor=2))
    steps, asked = [], []

    def keep_going(rung, done, miou):
        asked.append((rung, done, miou))
        return True

    score = _score(evaluator, CELL, lambda step, loss: steps.append(step), keep_going)
    assert steps == [1, 2, 1, 2, 3, 4, 5]
    assert asked == [(0, *score.rungs[0])]
    assert [done for done, _ in score.rungs] == [2, 5]
    assert (score.miou, score.loss_sum) == (scored[0].miou, scored[0].loss_sum)


def test_infinite_losses_survive_json():
    score = ProxyScore(0.0, math.inf, 3.0, math.inf, 17, ((17, 0.0),))
    assert score.to_json()["loss"] is None
    assert ProxyScore.from_json(score.to_json()) == score


def test_scored_cells_leave_no_graph_behind(evaluator):
    """TensorFlow keeps some graphs for ever, and a search scores thousands of cells in one process."""

    def graphs():
        gc.collect()
        return {id(item) for item in gc.get_objects() if isinstance(item, FuncGraph)}

    before = graphs()
    _score(evaluator, CELL)
    assert graphs() <= before


def test_training_is_scored_at_several_points_without_changing_it(cache, evaluator, scored):
    pointed = ProxyEvaluator(cache, dataclasses.replace(CONFIG, proxy_score_points=2))
    score = _score(pointed, CELL)
    assert [step for step, _, _ in score.points] == [3, 5]
    assert score.points[-1] == (5, score.miou, score.cross_entropy)
    assert (score.miou, score.loss_sum) == (scored[0].miou, scored[0].loss_sum)
    assert 0.0 < score.cross_entropy < 10.0
    assert ProxyScore.from_json(json.loads(json.dumps(score.to_json()))) == score


def test_points_of_a_training_are_at_equal_distances_and_end_with_it():
    assert proxy.score_steps(100, 4) == (25, 50, 75, 100)
    assert proxy.score_steps(10, 3) == (4, 7, 10)
    assert proxy.score_steps(2, 5) == (1, 2)


def test_scores_of_earlier_studies_have_no_cross_entropy():
    earlier = {"miou": 0.5, "loss": 1.0, "seconds": 2.0, "loss_sum": 3.0, "steps": 4, "rungs": [[4, 0.5]]}
    score = ProxyScore.from_json(earlier)
    assert (score.miou, score.cross_entropy, score.points) == (0.5, math.inf, ())
