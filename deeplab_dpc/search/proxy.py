"""The proxy task: train a cell and logits on cached features, score by mIOU (arXiv:1809.04184, Sec. 3.3)."""

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.config import ModelConfig, SearchConfig
from deeplab_dpc.evaluation.confusion import ConfusionMatrix
from deeplab_dpc.layers import kernels
from deeplab_dpc.models.precision import precision_policy
from deeplab_dpc.search.evaluator import Candidate, OnStep, Rung, climb, diverged_rung
from deeplab_dpc.search.feature_cache import CachedSplit, FeatureCache
from deeplab_dpc.search.proxy_model import ProxyClasses, ProxyModel
from deeplab_dpc.search.scored import ProxyScore
from deeplab_dpc.search.separated_loss import SeparatedLoss, Targets
from deeplab_dpc.training.losses import SegmentationLoss
from deeplab_dpc.training.optimizers import MomentumSGD, is_decayed
from deeplab_dpc.training.schedules import PolySchedule

MOMENTUM = 0.9
WEIGHT_DECAY = 4e-5
EVAL_BATCH_SIZE = 8


class OneDeviceSGD(MomentumSGD):
    """For one device. Where Keras sums gradients over replicas, TensorFlow keeps the graph for ever: 25 MB a cell."""

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return grads_and_vars


class ProxyEvaluator:
    """Scores cells on a feature cache; the same seed, data order and budget for every cell.

    A training whose loss is no longer finite ends there, with mIOU 0 and an infinite loss: all cells have the same
    data, order and rate, and the same training would diverge again.

    Args:
      cache: the features.
      config: rungs, batch size, rate, precision, seed and the split that scores.
      train_split: the split to train on.
    """

    def __init__(self, cache: FeatureCache, config: SearchConfig, train_split: str = "train"):
        self.cache = cache
        self.config = config
        self.train_split: CachedSplit = cache.split(train_split)
        self.eval_split: CachedSplit = cache.split(config.eval_split)
        self._loss: Callable[[Any, Any], Any] = SegmentationLoss(cache.ignore_label)
        self._targets: Targets | None = None
        if config.proxy_loss_nodes:
            feature_size, label_size = self.train_split.features.shape[1:3], self.train_split.labels.shape[1:]
            self._loss = SeparatedLoss(
                feature_size, label_size, cache.num_classes, cache.ignore_label, config.proxy_loss_nodes
            )
            self._targets = self._loss.targets(self.train_split.labels)

    def evaluate(self, candidates: Iterable[Candidate], budgets: Sequence[int]) -> Iterator[ProxyScore]:
        """Trains each cell from scratch on each of the rungs and scores it; see Evaluator."""
        for candidate in candidates:
            train = functools.partial(self._train, candidate.cell, candidate.on_step)
            yield climb(budgets, train, candidate.keep_going)

    def _train(self, cell: Cell, on_step: OnStep | None, steps: int) -> Rung:
        model = self._build(cell, steps)
        losses: list[float] = []
        order = _batch_order(len(self.train_split), self.config.proxy_batch_size, self.config.seed)
        for step in range(1, steps + 1):
            rows = next(order)
            # Loss metrics are means since the last reset.
            model.reset_metrics()
            losses.append(float(model.train_on_batch(self.train_split.features[rows], self._targets_of(rows))))
            if on_step is not None:
                on_step(step, losses[-1])
            if not math.isfinite(losses[-1]):
                return diverged_rung(step)
        tail = losses[-max(len(losses) // 10, 1) :]
        return Rung(steps, self._miou(model), float(np.mean(tail)), math.fsum(losses))

    def _targets_of(self, rows: np.ndarray) -> Any:
        if self._targets is not None:
            return self._targets.rows(rows)
        return self.train_split.labels[rows].astype("int32")

    def _build(self, cell: Cell, steps: int) -> ProxyModel:
        keras.utils.clear_session()
        keras.utils.set_random_seed(self.config.seed)
        model_config = ModelConfig(
            num_classes=self.cache.num_classes,
            output_stride=self.cache.output_stride,
            dense_prediction_cell=cell,
        )
        # Only here: clearing the session has set the policy back.
        with precision_policy(self.config.proxy_precision):
            model = ProxyModel(model_config, steps, self._loss)
        model.build((None, *self.train_split.features.shape[1:]))
        for variable in filter(is_decayed, model.trainable_variables):
            # The published decay is of half the squared norm.
            variable.regularizer = keras.regularizers.L2(WEIGHT_DECAY / 2.0)
        schedule = PolySchedule(self.config.proxy_learning_rate, steps)
        model.compile(optimizer=OneDeviceSGD(schedule, MOMENTUM), jit_compile=kernels.JIT_COMPILE)
        return model

    def _miou(self, model: ProxyModel) -> float:
        features, labels = self.eval_split.features, self.eval_split.labels
        classes = ProxyClasses(model, labels.shape[1:])
        confusion = ConfusionMatrix(self.cache.num_classes, self.cache.ignore_label)
        for first in range(0, len(labels), EVAL_BATCH_SIZE):
            # The last batch is filled up with its last row, so that one shape is compiled.
            rows = np.minimum(np.arange(first, first + EVAL_BATCH_SIZE), len(labels) - 1)
            fresh = len(np.unique(rows))
            predictions = np.asarray(classes.predict_on_batch(features[rows]))
            confusion.update(labels[rows[:fresh]], predictions[:fresh])
        return confusion.mean_iou()


def _batch_order(count: int, batch_size: int, seed: int) -> Iterator[np.ndarray]:
    """Endless sorted row indices of batches; every row once per pass, the passes shuffled one after another."""
    rng = np.random.default_rng(seed)
    waiting = np.zeros(0, "int64")
    while True:
        while len(waiting) < batch_size:
            waiting = np.concatenate([waiting, rng.permutation(count)])
        yield np.sort(waiting[:batch_size])
        waiting = waiting[batch_size:]
