"""The proxy task: train a cell and logits on cached features, score by mIOU (arXiv:1809.04184, Sec. 3.3)."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.config import ModelConfig, SearchConfig
from deeplab_dpc.evaluation.confusion import ConfusionMatrix
from deeplab_dpc.layers import kernels
from deeplab_dpc.models.segmenter import Logits, build_head
from deeplab_dpc.search.feature_cache import CachedSplit, FeatureCache
from deeplab_dpc.search.separated_loss import SeparatedLoss, Targets
from deeplab_dpc.training.losses import SegmentationLoss
from deeplab_dpc.training.optimizers import MomentumSGD, is_decayed
from deeplab_dpc.training.schedules import PolySchedule

MOMENTUM = 0.9
WEIGHT_DECAY = 4e-5
EVAL_BATCH_SIZE = 8


@dataclasses.dataclass(frozen=True)
class ProxyScore:
    """What the proxy says of a cell.

    Attributes:
      miou: on the held-out features, in [0, 1].
      loss: mean training loss over the last tenth of the steps.
      seconds: that training and scoring took.
    """

    miou: float
    loss: float
    seconds: float


class ProxyModel(keras.Model):
    """Cached features [batch, h, w, channels] -> logits [batch, h, w, classes].

    Args:
      config: the network that the cell belongs to.
      steps: of its training.
      loss: of (targets, logits); a function, since targets may have several parts.
    """

    def __init__(self, config: ModelConfig, steps: int, loss: Callable[[Any, Any], Any], **kwargs: Any):
        super().__init__(**kwargs)
        self._loss_function = loss
        self.head = build_head(config, steps)
        self.logits = Logits(config.num_classes)

    def build(self, input_shape):
        self.head.build(input_shape)
        self.logits.build(self.head.compute_output_shape(input_shape))

    def call(self, features, training=False):
        return self.logits(self.head(ops.cast(features, "float32"), training=training))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self._loss_function(y, y_pred) + sum(self.losses)


class _Classes(keras.Model):
    """Class ids [batch, height, width] at the labels' size."""

    def __init__(self, proxy: ProxyModel, size: tuple[int, int]):
        super().__init__(name="classes")
        self.jit_compile = kernels.JIT_COMPILE
        self.proxy = proxy
        self.size = size
        self.built = True

    def call(self, features):
        logits = self.proxy(features, training=False)
        return ops.argmax(kernels.resize_align_corners(logits, *self.size), axis=-1)


class ProxyEvaluator:
    """Scores cells on a feature cache; the same seed, data order and budget for every cell.

    Args:
      cache: the features.
      config: steps, batch size, rate, seed and the split that scores.
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

    def score(self, cell: Cell, on_step: Callable[[int, float], None] | None = None) -> ProxyScore:
        """Trains `cell` from scratch for `proxy_steps` and scores it.

        Args:
          cell: the candidate.
          on_step: called after each step with the number of steps done and the step's loss.
        """
        start = time.monotonic()
        model = self._build(cell)
        losses = []
        order = _batch_order(len(self.train_split), self.config.proxy_batch_size, self.config.seed)
        for step in range(self.config.proxy_steps):
            rows = next(order)
            # Loss metrics are means since the last reset.
            model.reset_metrics()
            loss = float(model.train_on_batch(self.train_split.features[rows], self._targets_of(rows)))
            losses.append(loss)
            if on_step is not None:
                on_step(step + 1, loss)
        miou = self._miou(model)
        tail = losses[-max(len(losses) // 10, 1) :]
        return ProxyScore(miou, float(np.mean(tail)), round(time.monotonic() - start, 2))

    def _targets_of(self, rows: np.ndarray) -> Any:
        if self._targets is not None:
            return self._targets.rows(rows)
        return self.train_split.labels[rows].astype("int32")

    def _build(self, cell: Cell) -> ProxyModel:
        keras.utils.clear_session()
        keras.utils.set_random_seed(self.config.seed)
        model_config = ModelConfig(
            num_classes=self.cache.num_classes,
            output_stride=self.cache.output_stride,
            dense_prediction_cell=cell,
        )
        model = ProxyModel(model_config, self.config.proxy_steps, self._loss)
        model.build((None, *self.train_split.features.shape[1:]))
        for variable in filter(is_decayed, model.trainable_variables):
            # The published decay is of half the squared norm.
            variable.regularizer = keras.regularizers.L2(WEIGHT_DECAY / 2.0)
        schedule = PolySchedule(self.config.proxy_learning_rate, self.config.proxy_steps)
        model.compile(optimizer=MomentumSGD(schedule, MOMENTUM), jit_compile=kernels.JIT_COMPILE)
        return model

    def _miou(self, model: ProxyModel) -> float:
        features, labels = self.eval_split.features, self.eval_split.labels
        classes = _Classes(model, labels.shape[1:])
        confusion = ConfusionMatrix(self.cache.num_classes, self.cache.ignore_label)
        for first in range(0, len(labels), EVAL_BATCH_SIZE):
            # The last batch is filled up with its last row, so that one shape is compiled.
            rows = np.minimum(np.arange(first, first + EVAL_BATCH_SIZE), len(labels) - 1)
            fresh = len(np.unique(rows))
            predictions = np.asarray(classes.predict_on_batch(features[rows]))
            confusion.update(labels[rows[:fresh]], predictions[:fresh])
        return confusion.mean_iou()


def _batch_order(count: int, batch_size: int, seed: int):
    """Endless sorted row indices of batches; every row once per pass, the passes shuffled one after another."""
    rng = np.random.default_rng(seed)
    waiting = np.zeros(0, "int64")
    while True:
        while len(waiting) < batch_size:
            waiting = np.concatenate([waiting, rng.permutation(count)])
        yield np.sort(waiting[:batch_size])
        waiting = waiting[batch_size:]
