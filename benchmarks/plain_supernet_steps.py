"""Steps of the plain supernet, in plain TensorFlow: one variable per weight, a tape, and Keras' optimizers."""

from typing import Any

import keras
import numpy as np
import plain_supernet
import tensorflow as tf

from deeplab_dpc.config import AutoDeepLabConfig
from deeplab_dpc.models.segmenter import HEAD_BATCH_NORM_DECAY, limited_decay
from deeplab_dpc.search.auto_deeplab.decoding import edge_mask
from deeplab_dpc.search.auto_deeplab.initial_weights import initial_statistics, initial_weights
from deeplab_dpc.search.auto_deeplab.search_program import initial_architecture, mixtures
from deeplab_dpc.search.auto_deeplab.supernet import Supernet, named_shapes
from deeplab_dpc.training.losses import SegmentationLoss

Batch = tuple[np.ndarray, np.ndarray]


class PlainSteps:
    """The steps of SearchProgram with float32 activations, from the same initial values.

    Args:
      config: configuration of the search.
      num_classes: number of classes of the labels; 255 is not a class.
      num_steps: number of steps of the whole search.
      weight_batch, architecture_batch: images and labels of each kind of step.
    """

    def __init__(
        self,
        config: AutoDeepLabConfig,
        num_classes: int,
        num_steps: int,
        weight_batch: Batch,
        architecture_batch: Batch,
    ):
        self._config = config
        project = Supernet(
            num_classes, config.num_layers, config.num_blocks, config.filter_multiplier, config.stem_filters
        )
        weights = initial_weights(named_shapes(project.weight_shapes), config.seed)
        statistics = initial_statistics(named_shapes(project.statistics_shapes))
        self._weights = _variables(plain_supernet.plain_weights(project, weights))
        self._statistics = _variables(plain_supernet.plain_statistics(project, statistics))
        self._architecture = _variables(initial_architecture(project, config.seed))
        self._exists = edge_mask(config.num_layers)
        self._decay = limited_decay(HEAD_BATCH_NORM_DECAY, num_steps)
        self._loss = SegmentationLoss(255)
        self._sgd = keras.optimizers.SGD(config.weight_learning_rate, config.weight_momentum)
        self._sgd.build(list(self._weights.values()))
        self._adam = keras.optimizers.Adam(config.architecture_learning_rate)
        self._adam.build(list(self._architecture.values()))
        self._batches = [tuple(map(tf.constant, batch)) for batch in (weight_batch, architecture_batch)]
        self._weight_step = tf.function(self._trained_weights, autograph=False)
        self._architecture_step = tf.function(self._trained_architecture, autograph=False)

    def weights(self) -> float:
        """Takes a weight step; returns the loss before it."""
        return float(self._weight_step(*self._batches[0]))

    def architecture(self) -> float:
        """Takes a step of alphas and betas; returns the loss before it."""
        return float(self._architecture_step(*self._batches[1]))

    def _trained_weights(self, images: Any, labels: Any) -> Any:
        loss, found = self._updated(images, labels, self._weights, self._sgd, self._config.weight_decay)
        for name, value in found.items():
            average = self._statistics[name]
            average.assign(self._decay * average + (1.0 - self._decay) * value)
        return loss

    def _trained_architecture(self, images: Any, labels: Any) -> Any:
        decay = self._config.architecture_weight_decay
        return self._updated(images, labels, self._architecture, self._adam, decay)[0]

    def _updated(
        self, images: Any, labels: Any, variables: dict[str, Any], optimizer: Any, decay: float
    ) -> tuple[Any, dict[str, Any]]:
        watched = {name: variable.value for name, variable in variables.items()}
        with tf.GradientTape() as tape:
            norm = plain_supernet.BatchNorm()
            mixed = mixtures(self._architecture, self._exists)
            config = self._config
            logits = plain_supernet.supernet(
                images, self._weights, mixed["alphas"], mixed["betas"], config.num_layers, config.num_blocks, norm
            )
            loss = self._loss(labels, logits)
        gradients = tape.gradient(loss, list(watched.values()))
        decayed = [gradient + decay * variable for gradient, variable in zip(gradients, watched.values(), strict=True)]
        optimizer.apply(decayed, list(variables.values()))
        return loss, norm.found


def _variables(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: keras.Variable(array, name=name.replace("/", "_")) for name, array in arrays.items()}
