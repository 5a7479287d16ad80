"""Batch normalisation (Ioffe and Szegedy, 2015, arXiv:1502.03167) as DeepLab uses it.

Keras' own layer does not use TensorFlow's fused kernel, and freezes the statistics only together with gamma and beta.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class BatchNorm(keras.layers.Layer):
    """Batch norm: y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, over all axes but the last.

    In training the statistics are those of the batch, and the moving averages are updated with moving = decay * moving
    + (1 - decay) * batch (with the unbiased variance). The moving averages are used in inference, when
    `frozen_statistics` is set (`fine_tune_batch_norm=False`: gamma and beta still train) and when the layer is not
    trainable. If a batch is spread over several devices, the statistics are those of the whole batch.

    Args:
      decay: decay of the moving averages, in [0, 1).
      epsilon: number added to the variance, > 0.

    Raises:
      ValueError: if decay or epsilon is out of its range.
    """

    def __init__(self, decay: float = 0.9997, epsilon: float = 1e-5, **kwargs: Any):
        super().__init__(**kwargs)
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"`decay` must be in [0, 1), got {decay}.")
        if epsilon <= 0.0:
            raise ValueError(f"`epsilon` must be > 0, got {epsilon}.")
        self.decay = decay
        self.epsilon = epsilon
        self.frozen_statistics = False
        self.is_folded = False

    def build(self, input_shape: Shape) -> None:
        shape = (input_shape[-1],)
        # Statistics stay in float32 under every dtype policy.
        self.gamma = self.add_weight(shape=shape, initializer="ones", dtype="float32", autocast=False, name="gamma")
        self.beta = self.add_weight(shape=shape, initializer="zeros", dtype="float32", autocast=False, name="beta")
        self.moving_mean = self._add_statistic(shape, "zeros", "moving_mean")
        self.moving_variance = self._add_statistic(shape, "ones", "moving_variance")

    def _add_statistic(self, shape: Shape, initializer: str, name: str) -> keras.Variable:
        return self.add_weight(
            shape=shape,
            initializer=initializer,
            dtype="float32",
            autocast=False,
            trainable=False,
            aggregation="mean",  # lets each replica of tf.distribute assign them; the values are equal
            name=name,
        )

    def fold(self) -> np.ndarray:
        """Returns the factors, float64 [channels], for the kernel before this layer, and reduces this layer to adding a
        bias.

        The variables are replaced by those of the remaining function: gamma 1, mean 0, variance 1 - epsilon. This is
        for inference only.
        """
        gamma, beta, mean, variance = (
            ops.convert_to_numpy(variable).astype("float64")
            for variable in (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        )
        scale: np.ndarray = gamma / np.sqrt(variance + self.epsilon)
        self.beta.assign(beta - mean * scale)
        self.gamma.assign(np.ones_like(gamma))
        self.moving_mean.assign(np.zeros_like(mean))
        self.moving_variance.assign(np.full_like(variance, 1.0 - self.epsilon))
        self.is_folded = True
        return scale

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if self.is_folded:
            return kernels.add_bias(inputs, self.beta)
        if not training or self.frozen_statistics or not self.trainable:
            return kernels.batch_norm_inference(
                inputs, self.gamma, self.beta, self.moving_mean, self.moving_variance, self.epsilon
            )
        outputs, mean, variance = kernels.batch_norm_training(inputs, self.gamma, self.beta, self.epsilon)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.decay + batch * (1.0 - self.decay))
        return outputs

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "decay": self.decay, "epsilon": self.epsilon}


def freeze_batch_norm_statistics(layer: keras.layers.Layer) -> None:
    """Makes every BatchNorm below `layer` use its moving averages in training too (fine_tune_batch_norm=False)."""
    for child in layer._flatten_layers():
        if isinstance(child, BatchNorm):
            child.frozen_statistics = True
