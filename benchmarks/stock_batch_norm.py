"""Keras' own batch norm in the place of ours, to compare with."""

import contextlib
from collections.abc import Iterator

import keras

from deeplab_dpc.layers import conv


class _StockBatchNorm(keras.layers.BatchNormalization):
    """Keras' own layer under the arguments of ours."""

    def __init__(self, decay, epsilon, **kwargs):
        super().__init__(momentum=decay, epsilon=epsilon, **kwargs)


@contextlib.contextmanager
def stock_batch_norm() -> Iterator[None]:
    """Networks that are built inside have Keras' own batch norm."""
    ours = conv.BatchNorm
    conv.BatchNorm = _StockBatchNorm  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        conv.BatchNorm = ours  # type: ignore[misc]
