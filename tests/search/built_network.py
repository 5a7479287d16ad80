"""The proxy's network built of layers for one cell and trained by Keras' step: what any cell's network is held to."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.layers.dense_prediction_cell import DensePredictionCell
from deeplab_dpc.models.segmenter import Logits
from deeplab_dpc.search.proxy.training_step import MOMENTUM, WEIGHT_DECAY
from deeplab_dpc.training.optimizers import MomentumSGD, is_decayed


def assign_weights(layer: keras.layers.Layer, weights: dict[str, Any]) -> None:
    """Gives the layer of an operation the weights, and any statistics, of a branch of the other network.

    These are named by the variable, after the part of the layer that has it where the branch tells parts apart.
    """
    for variable in layer.variables:
        *parts, own = variable.path.split("/")
        own = own.removeprefix("moving_")
        names = [f"{part.rpartition('_')[2]}_{own}" for part in parts]
        name = next((name for name in names if name in weights), own)
        if variable.trainable or name in weights:
            values = np.asarray(weights[name])
            values = values.reshape((1,) * (len(variable.shape) - values.ndim) + values.shape)
            variable.assign(values[tuple(map(slice, variable.shape))])


class BuiltNetwork(keras.Model):
    """Features [batch, h, w, channels] -> logits [batch, h, w, classes], without dropout."""

    def __init__(self, cell: Cell, num_classes: int, filters: int, decay: float, loss: Callable[[Any, Any], Any]):
        super().__init__()
        self._loss_function = loss
        self.head = DensePredictionCell(cell, filters=filters, dropout=0.0, batch_norm_decay=decay)
        self.logits = Logits(num_classes)

    def build(self, input_shape):
        self.head.build(input_shape)
        self.logits.build(self.head.compute_output_shape(input_shape))
        for variable in filter(is_decayed, self.trainable_variables):
            variable.regularizer = keras.regularizers.L2(WEIGHT_DECAY / 2.0)

    def call(self, features, training=False):
        return self.logits(self.head(ops.cast(features, "float32"), training=training))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self._loss_function(y, y_pred) + sum(self.losses)

    def assign(self, weights: dict[str, Any]) -> None:
        """Takes the weights that the other network has for the same cell."""
        cell = self.head.cell
        for own, layer in zip(weights["branches"], self.head.branches, strict=False):
            assign_weights(layer, own)
        filters = self.head.filters
        kernel = weights["projection"]["kernel"][: len(cell.branches)].reshape(1, 1, -1, filters)
        self.head.projection.kernel.assign(kernel)
        self.logits.semantic.kernel.assign(weights["logits"]["kernel"][None, None])

    def trained(self, rates: Any, features: Any, labels: Any, rows: Any) -> list[float]:
        """The losses of steps on the given rows."""
        self.compile(optimizer=MomentumSGD(float(rates[0]), MOMENTUM), jit_compile=keras.backend.backend() == "jax")
        losses = []
        for rate, chosen in zip(rates, rows, strict=True):
            self.optimizer.learning_rate = rate
            self.reset_metrics()
            losses.append(float(self.train_on_batch(features[chosen], labels[chosen])))
        return losses
