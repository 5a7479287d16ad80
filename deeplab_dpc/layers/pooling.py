"""Average spatial pyramid pooling over a grid (arXiv:1809.04184, Sec. 3.1; arXiv:1612.01105, Sec. 3.2).

This follows the paper: the mean of each grid cell. The published code instead slides a window of the cells' size,
rounded up, with stride 1; the two agree for the 1x1 grid (image-level pooling).
"""

from typing import Any

import keras
from keras import ops

from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.conv import ConvBN


def grid_pool(x: Any, grid: tuple[int, int]) -> Any:
    """Means over grid cells: [batch, height, width, channels] -> [batch, grid_h, grid_w, channels].

    Cell i of n covers the rows from floor(i * height / n) to ceil((i + 1) * height / n), so that every row counts and
    a feature map smaller than the grid works too.
    """
    height, width = ops.shape(x)[1:3]
    vertical = ops.cast(_cell_means(height, grid[0]), x.dtype)
    horizontal = ops.cast(_cell_means(width, grid[1]), x.dtype)
    return ops.einsum("gh,bhwc,kw->bgkc", vertical, x, horizontal)


def _cell_means(size: Any, cells: int) -> Any:
    """Averaging weights [cells, size] along one axis; `size` may be a tensor."""
    cell = ops.arange(cells, dtype="int32")[:, None]
    position = ops.arange(size, dtype="int32")[None, :]
    start = (cell * size) // cells
    end = ((cell + 1) * size + cells - 1) // cells
    inside = ops.logical_and(position >= start, position < end)
    return ops.cast(inside, "float32") / ops.cast(end - start, "float32")


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class GridPyramidPooling(ConvBN):
    """Grid average pooling, 1x1 convolution, BN, ReLU, and bilinear upsampling back to the input's size.

    [batch, height, width, channels] -> [batch, height, width, filters]

    Args:
      filters: output channels.
      grid: (grid_h, grid_w), each >= 1; (1, 1) is image-level pooling.

    The other arguments are those of ConvBN.

    Raises:
      ValueError: if a side of the grid is less than 1.
    """

    def __init__(self, filters: int, grid: tuple[int, int] = (1, 1), **kwargs: Any):
        super().__init__(filters, **kwargs)
        if len(grid) != 2 or min(grid) < 1:
            raise ValueError(f"`grid` must be (grid_h, grid_w), each >= 1, got {grid}.")
        self.grid = (int(grid[0]), int(grid[1]))

    def call(self, inputs, training=False):
        height, width = ops.shape(inputs)[1:3]
        pooled = super().call(grid_pool(inputs, self.grid), training=training)
        return kernels.resize_align_corners(pooled, height, width)

    def get_config(self):
        return {**super().get_config(), "grid": self.grid}
