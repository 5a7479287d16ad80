"""The proxy task in plain Keras 3, with which the project's evaluator is compared.

`PlainForm` has Keras' own layers, optimizer and regularisers, and Keras' loss at every label pixel. Keras has no
bilinear resize with aligned corners, and its AdaptiveAveragePooling2D fails on TensorFlow if a side of the grid is 1:
these two are the project's. `ProjectForm` has the project's layers and losses throughout. Both have a network for each
cell, which is built, compiled and trained with Keras' own training step on the same rows of the feature cache in the
same order, and scored by a NumPy confusion matrix.
"""

import time
from collections.abc import Callable
from typing import Any, assert_never

import keras
import numpy as np
from keras import ops
from proxy_timing import Timing

from deeplab_dpc.arch.cell import BACKBONE, FILTERS, Cell
from deeplab_dpc.arch.operations import AtrousConv, Conv1x1, Operation, PyramidPooling
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.evaluation.confusion import ConfusionMatrix
from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.pooling import grid_pool
from deeplab_dpc.layers.resize import ResizeAlignCorners
from deeplab_dpc.models.precision import precision_policy
from deeplab_dpc.models.segmenter import HEAD_BATCH_NORM_DECAY, LOGITS_STDDEV, Logits, build_head, limited_decay
from deeplab_dpc.search.proxy.feature_cache import CachedSplit, FeatureCache
from deeplab_dpc.search.proxy.feed import BatchOrder
from deeplab_dpc.training.losses import SegmentationLoss
from deeplab_dpc.training.optimizers import MomentumSGD, is_decayed
from deeplab_dpc.training.schedules import PolySchedule
from deeplab_dpc.training.separated_loss import SeparatedLoss

MOMENTUM = 0.9
WEIGHT_DECAY = 4e-5  # of half the squared norm
LEARNING_POWER = 0.9
DROPOUT = 0.1
EPSILON = 1e-5  # of batch norm
WARM_UP_STEPS = 2  # trace and compile; JAX compiles twice


def plain_network(
    cell: Cell, features: tuple[int, int, int], labels: tuple[int, int], num_classes: int, steps: int
) -> keras.Model:
    """Returns a network, not compiled: features [batch, h, w, channels] -> logits [batch, height, width, classes] at
    the labels' size.

    Args:
      cell: cell at output stride 16.
      features: shape (h, w, channels) of the features.
      labels: (height, width) of the labels in pixels.
      num_classes: number of channels of the logits.
      steps: number of training steps, on which the decay of batch norm depends.
    """
    decay = limited_decay(HEAD_BATCH_NORM_DECAY, steps)
    inputs = keras.Input(features)
    outputs: list[Any] = []
    for i, branch in enumerate(cell.branches):
        source = inputs if branch.input == BACKBONE else outputs[branch.input]
        outputs.append(_plain_branch(source, branch.operation, f"branch{i}", decay))
    x = keras.layers.Dropout(DROPOUT)(keras.layers.Concatenate()(outputs) if len(outputs) > 1 else outputs[0])
    x = _plain_conv(x, "concat_projection", decay)
    logits = keras.layers.Conv2D(
        num_classes,
        1,
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=LOGITS_STDDEV),
        kernel_regularizer=keras.regularizers.L2(WEIGHT_DECAY / 2.0),
        name="semantic",
        dtype="float32",
    )(x)
    return keras.Model(inputs, ResizeAlignCorners(labels, dtype="float32")(logits))


def _plain_branch(x: Any, operation: Operation, name: str, decay: float) -> Any:
    if isinstance(operation, Conv1x1):
        return _plain_conv(x, name, decay)
    if isinstance(operation, AtrousConv):
        x = keras.layers.DepthwiseConv2D(
            3,
            padding="same",
            dilation_rate=operation.rate,
            use_bias=False,
            depthwise_initializer=keras.initializers.TruncatedNormal(stddev=0.33),
            name=f"{name}_depthwise",
        )(x)
        x = keras.layers.BatchNormalization(momentum=decay, epsilon=EPSILON, name=f"{name}_depthwise_norm")(x)
        x = keras.layers.ReLU()(x)
        return _plain_conv(x, f"{name}_pointwise", decay, keras.initializers.TruncatedNormal(stddev=0.06))
    if isinstance(operation, PyramidPooling):
        size = x.shape[1:3]
        x = GridMeans(operation.grid)(x)
        return ResizeAlignCorners(size)(_plain_conv(x, name, decay))
    assert_never(operation)


def _plain_conv(x: Any, name: str, decay: float, initializer: Any = "glorot_uniform") -> Any:
    x = keras.layers.Conv2D(
        FILTERS,
        1,
        use_bias=False,
        kernel_initializer=initializer,
        kernel_regularizer=keras.regularizers.L2(WEIGHT_DECAY / 2.0),
        name=name,
    )(x)
    x = keras.layers.BatchNormalization(momentum=decay, epsilon=EPSILON, name=f"{name}_norm")(x)
    return keras.layers.ReLU()(x)


class GridMeans(keras.layers.Layer):
    """Means over grid cells: [batch, height, width, channels] -> [batch, grid_h, grid_w, channels].

    Args:
      grid: (grid_h, grid_w).
    """

    def __init__(self, grid: tuple[int, int]):
        super().__init__()
        self.grid = grid

    def call(self, inputs):
        return grid_pool(inputs, self.grid)


class ProjectNetwork(keras.Model):
    """The project's layers and one of its losses: features [batch, h, w, channels] -> logits [batch, h, w, classes].

    Args:
      config: configuration of the network with the cell.
      steps: number of training steps.
      loss: loss function of (targets, logits).
    """

    def __init__(self, config: ModelConfig, steps: int, loss: Callable[[Any, Any], Any]):
        super().__init__()
        self.head = build_head(config, steps)
        self.logits = Logits(config.num_classes)
        self._loss_function = loss

    def build(self, input_shape):
        self.head.build(input_shape)
        self.logits.build(self.head.compute_output_shape(input_shape))
        for variable in filter(is_decayed, self.trainable_variables):
            variable.regularizer = keras.regularizers.L2(WEIGHT_DECAY / 2.0)

    def call(self, features, training=False):
        return self.logits(self.head(ops.cast(features, "float32"), training=training))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self._loss_function(y, y_pred) + sum(self.losses)


class OneDeviceSGD(MomentumSGD):
    """SGD for one device. Keras' sum of gradients over replicas makes TensorFlow keep the graph for ever: 25 MB per
    cell.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return grads_and_vars


class KerasForm:
    """An evaluator that scores cells one after another, each with a network of its own and Keras' training step.

    Args:
      cache: cache of the features; `train` is for training, `val` for scoring.
      batch_size: images per step.
      learning_rate: initial learning rate; it decays by poly.
      precision: float32 or bfloat16.
      seed: seed of the weights, of dropout and of the order.
      most_seconds: seconds after which the training of a cell is stopped, since typical steps are known by then.
      jit_compile: argument of Keras' `compile`.
    """

    def __init__(
        self,
        cache: FeatureCache,
        batch_size: int,
        learning_rate: float,
        precision: str,
        seed: int,
        most_seconds: float,
        jit_compile: bool | str,
    ):
        self.cache = cache
        self.train: CachedSplit = cache.split("train")
        self.val: CachedSplit = cache.split("val")
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.precision = precision
        self.seed = seed
        self.most_seconds = most_seconds
        self.jit_compile = jit_compile

    def score(self, cell: Cell, steps: int) -> Timing:
        """Trains a cell for that number of steps, or until `most_seconds` are over, and scores it."""
        start = time.perf_counter()
        keras.utils.clear_session()
        keras.utils.set_random_seed(self.seed)
        with precision_policy(self.precision):
            model = self.network(cell, steps)
        model.compile(self.optimizer(steps), self.loss(), jit_compile=self.jit_compile)
        losses, ends = [], [time.perf_counter()]
        for rows in BatchOrder(len(self.train), self.batch_size, self.seed).take(steps):
            losses.append(float(model.train_on_batch(*self.batch(rows))))
            ends.append(time.perf_counter())
            model.reset_metrics()
            if ends[-1] - start > self.most_seconds and len(losses) > WARM_UP_STEPS:
                break
        miou = self._miou(model)
        times = np.diff(ends)
        step_seconds = float(np.median(times[WARM_UP_STEPS:]))
        loss = float(np.mean(losses[-max(len(losses) // 10, 1) :]))
        return Timing(len(losses), time.perf_counter() - start, step_seconds, miou, loss)

    def network(self, cell: Cell, steps: int) -> keras.Model:
        """Returns the built network of a cell."""
        raise NotImplementedError

    def optimizer(self, steps: int) -> keras.optimizers.Optimizer:
        """Returns the optimizer, momentum with a poly rate."""
        raise NotImplementedError

    def loss(self) -> Any:
        """Returns the loss for `compile`, unless the network has its own."""
        return None

    def batch(self, rows: np.ndarray) -> tuple[Any, Any]:
        """Returns features and targets of rows of the training split."""
        return self.train.features[rows].astype("float32"), self.train.labels[rows]

    def classes(self, predictions: np.ndarray) -> np.ndarray:
        """Returns the class ids [batch, height, width] of the network's predictions."""
        return np.argmax(predictions, axis=-1)

    def _miou(self, model: keras.Model) -> float:
        confusion = ConfusionMatrix(self.cache.num_classes, self.cache.ignore_label)
        for first in range(0, len(self.val), self.batch_size):
            # The last batch is filled up with its last row, so that one shape is compiled.
            rows = np.minimum(np.arange(first, first + self.batch_size), len(self.val) - 1)
            fresh = len(np.unique(rows))
            predictions = np.asarray(model.predict_on_batch(self.val.features[rows].astype("float32")))
            confusion.update(self.val.labels[rows[:fresh]], self.classes(predictions[:fresh]))
        return confusion.mean_iou()


class PlainForm(KerasForm):
    """The form with Keras' own layers and the exact loss."""

    def network(self, cell: Cell, steps: int) -> keras.Model:
        features, labels = self.train.features.shape[1:], self.train.labels.shape[1:]
        return plain_network(cell, features, labels, self.cache.num_classes, steps)

    def optimizer(self, steps: int) -> keras.optimizers.Optimizer:
        schedule = keras.optimizers.schedules.PolynomialDecay(self.learning_rate, steps, 0.0, LEARNING_POWER)
        return keras.optimizers.SGD(schedule, momentum=MOMENTUM)

    def loss(self) -> keras.losses.Loss:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=self.cache.ignore_label)


class ProjectForm(KerasForm):
    """The form with the project's layers, and one network per cell.

    Args:
      cache: feature cache; see KerasForm for the other arguments.
      nodes: number of nodes of the separated loss per axis and feature-map cell; 0 for the exact loss.
    """

    def __init__(self, cache: FeatureCache, *arguments: Any, nodes: int):
        super().__init__(cache, *arguments)
        self._loss: Callable[[Any, Any], Any] = SegmentationLoss(cache.ignore_label)
        self._targets = None
        if nodes:
            sizes = self.train.features.shape[1:3], self.train.labels.shape[1:]
            self._loss = SeparatedLoss(*sizes, cache.num_classes, cache.ignore_label, nodes)
            self._targets = self._loss.targets(self.train.labels)
        self._upsample = ResizeAlignCorners(self.train.labels.shape[1:])

    def network(self, cell: Cell, steps: int) -> keras.Model:
        config = ModelConfig(num_classes=self.cache.num_classes, dense_prediction_cell=cell)
        model = ProjectNetwork(config, steps, self._loss)
        model.build((None, *self.train.features.shape[1:]))
        return model

    def optimizer(self, steps: int) -> keras.optimizers.Optimizer:
        return OneDeviceSGD(PolySchedule(self.learning_rate, steps, LEARNING_POWER), MOMENTUM)

    def batch(self, rows: np.ndarray) -> tuple[Any, Any]:
        targets = self.train.labels[rows] if self._targets is None else self._targets.rows(rows)
        return self.train.features[rows], targets

    def classes(self, predictions: np.ndarray) -> np.ndarray:
        return np.asarray(kernels.argmax(self._upsample(predictions)))
