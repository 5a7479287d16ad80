"""Dropout (Srivastava et al., 2014, JMLR 15) whose random numbers are a hash of the position: one pass over memory.

The backends' generators take longer for the values of a cell's concatenated branches than its largest matrix product
(see benchmarks/proxy.py). The hash is the 32-bit finaliser of C. Wellons ("Prospecting for Hash Functions", 2018). It
is applied twice, with the seed in between, so that streams of different seeds are not shifted copies of each other.
"""

from typing import Any

from keras import ops

from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.types import Tensor


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
