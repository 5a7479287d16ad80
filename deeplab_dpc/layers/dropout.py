"""Dropout (Srivastava et al., 2014, JMLR 15) that is the same on one device and on several."""

import keras
from keras import ops

from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.types import Tensor


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class Dropout(keras.layers.Dropout):
    """Dropout: in training, y = x / (1 - rate) with probability 1 - rate for each value, else 0; otherwise y = x.

    Keras' own layer drops the same values in each replica of tf.distribute; here a replica drops the values that one
    device with the global batch would drop.

    Args:
      rate: fraction of values dropped, in [0, 1).
    """

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training or self.rate == 0:
            return inputs
        kept = kernels.batch_uniform(ops.shape(inputs), self.seed_generator) >= self.rate
        return ops.where(kept, inputs / (1.0 - self.rate), ops.zeros_like(inputs))
