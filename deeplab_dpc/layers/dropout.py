"""Dropout (Srivastava et al., 2014, JMLR 15): a layer that is the same on one device and on several, and a function
whose random numbers are a hash of the position, in one pass over memory.

The backends' generators take longer for the values of a cell's concatenated branches than its largest matrix product
(see benchmarks/proxy.py). The hash is the 32-bit finaliser of C. Wellons ("Prospecting for Hash Functions", 2018). It
is applied twice, with the seed in between, so that streams of different seeds are not shifted copies of each other.
"""

from typing import Any

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


def hashed_dropout(x: Any, rate: float, seed: Any) -> Any:
    """Returns y = x / (1 - rate) with probability 1 - rate for each value, else 0.

    Args:
      x: tensor of any floating dtype and static shape, with less than 2 ** 32 values.
      rate: fraction of values dropped, in [0, 1).
      seed: integer scalar tensor; equal seeds drop equal positions.
    """
    shape, keep = x.shape, 1.0 / (1.0 - rate)

    @kernels.fused
    def drop(values: Tensor, number: Tensor) -> Tensor:
        kept = _hash(_hash(_positions(shape)) + ops.cast(number, "uint32")) >= _uint32(int(rate * 2**32))
        return ops.where(kept, values * ops.cast(keep, values.dtype), ops.zeros_like(values))

    return drop(x, seed)


def _positions(shape: tuple[int, ...]) -> Any:
    count = 1
    for side in shape:
        count *= side
    return ops.reshape(ops.cast(ops.arange(count, dtype="int32"), "uint32"), shape)


def _uint32(value: int) -> Any:
    return ops.convert_to_tensor(value, dtype="uint32")


def _hash(x: Any) -> Any:
    x = ops.bitwise_xor(x, ops.right_shift(x, _uint32(16))) * _uint32(0x7FEB352D)
    x = ops.bitwise_xor(x, ops.right_shift(x, _uint32(15))) * _uint32(0x846CA68B)
    return ops.bitwise_xor(x, ops.right_shift(x, _uint32(16)))
