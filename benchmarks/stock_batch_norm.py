"""Keras' own batch norm in place of this project's, for comparison."""

import contextlib
from collections.abc import Iterator

import keras

from deeplab_dpc.layers import conv


class _StockBatchNorm(keras.layers.BatchNormalization):
    """Keras' own layer with the arguments of this project's."""

    def __init__(self, decay, epsilon, **kwargs):
        super().__init__(momentum=decay, epsilon=epsilon, **kwargs)


@contextlib.contextmanager
def stock_batch_norm() -> Iterator[None]:
    """Makes networks that are built inside use Keras' own batch norm."""
    ours = conv.BatchNorm
    conv.BatchNorm = _StockBatchNorm  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        conv.BatchNorm = ours  # type: ignore[misc]
