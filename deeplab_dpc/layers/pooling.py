"""Average pooling over the image, over windows and over a grid, each followed by a convolution and upsampling.

Sources: image-level features, arXiv:1706.05587, Sec. 3.3; the grid, arXiv:1809.04184, Sec. 3.1 and arXiv:1612.01105,
Sec. 3.2. The grid follows the paper: the mean of each grid cell. The published code instead slides a window of the
cells' size, rounded up, with stride 1; the two agree for the 1x1 grid.
"""

from typing import Any

import keras
from keras import ops

from deeplab_dpc.arch.cost import Cost, conv_cost
from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.conv import BiasedConv, ConvBN
from deeplab_dpc.layers.types import Tensor


def grid_pool(x: Any, grid: tuple[int, int]) -> Any:
    """Returns means over grid cells: [batch, height, width, channels] -> [batch, grid_h, grid_w, channels].

    Cell i of n covers the rows from floor(i * height / n) to ceil((i + 1) * height / n), so that every row counts and
    a feature map smaller than the grid works too.
    """
    height, width = ops.shape(x)[1:3]
    return _pool(x, cell_means(height, grid[0]), cell_means(width, grid[1]))


def window_pool(x: Any, window: tuple[int, int], strides: tuple[int, int]) -> Any:
    """Returns means over sliding windows without padding: [batch, height, width, channels] -> [batch, h, w, channels].

    A window larger than the features is cropped to their size. Sizes may be known only when the graph runs, so that
    keras.ops.average_pool cannot be used.
    """
    height, width = ops.shape(x)[1:3]
    return _pool(x, _window_means(height, window[0], strides[0]), _window_means(width, window[1], strides[1]))


def _pool(x: Any, vertical: Any, horizontal: Any) -> Any:
    """Returns weighted sums along both axes, computed in float32 and returned in the dtype of `x`."""
    return ops.cast(ops.einsum("gh,bhwc,kw->bgkc", vertical, ops.cast(x, "float32"), horizontal), x.dtype)


def cell_means(size: Any, cells: int) -> Any:
    """Returns averaging weights [cells, size] along one axis; `size` may be a tensor."""
    cell = ops.arange(cells, dtype="int32")[:, None]
    return _range_means((cell * size) // cells, ((cell + 1) * size + cells - 1) // cells, size)


def _window_means(size: Any, window: int, stride: int) -> Any:
    """Returns averaging weights [windows, size] along one axis; `size` may be a tensor."""
    window = ops.minimum(window, size) if not isinstance(size, int) else min(window, size)
    start = stride * ops.arange((size - window) // stride + 1, dtype="int32")[:, None]
    return _range_means(start, start + window, size)


def _range_means(start: Any, end: Any, size: Any) -> Any:
    """Returns weights [ranges, size] that average the positions start <= i < end; start and end are [ranges, 1]."""
    position = ops.arange(size, dtype="int32")[None, :]
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

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        height, width = ops.shape(inputs)[1:3]
        pooled = super().call(grid_pool(inputs, self.grid), training=training)
        return kernels.resize_align_corners(pooled, height, width)

    def cost(self, input_shape: Any) -> Cost:
        """Returns the parameters and multiply-adds; the convolution runs at the grid's points only."""
        return conv_cost(1, input_shape[-1], self.filters, *self.grid)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "grid": self.grid}


class ImageWindow:
    """The window of image pooling: the whole feature map, or one of a fixed size that slides.

    Args:
      size: (height, width) in feature-map cells, or None for the whole map.
      strides: (vertical, horizontal) steps of the window in feature-map cells.

    Raises:
      ValueError: if a number is less than 1.
    """

    def __init__(self, size: tuple[int, int] | None, strides: tuple[int, int]):
        for label, pair in (("window", size), ("window_strides", strides)):
            if pair is not None and (len(pair) != 2 or min(pair) < 1):
                raise ValueError(f"`{label}` must be (vertical, horizontal), each >= 1, got {pair}.")
        self.size = None if size is None else (int(size[0]), int(size[1]))
        self.strides = (int(strides[0]), int(strides[1]))

    def pool(self, x: Any) -> Any:
        """Pools [batch, height, width, channels] -> [batch, h, w, channels]."""
        if self.size is None:
            return ops.mean(x, axis=(1, 2), keepdims=True)
        return window_pool(x, self.size, self.strides)

    def count(self, height: int, width: int) -> tuple[int, int]:
        """Returns the number of windows (vertically, horizontally) on features of that size."""
        if self.size is None:
            return 1, 1
        down, across = (
            (side - min(window, side)) // stride + 1
            for side, window, stride in zip((height, width), self.size, self.strides, strict=True)
        )
        return down, across

    def get_config(self) -> dict[str, Any]:
        return {"window": self.size, "window_strides": self.strides}


class _WindowPooled(keras.layers.Layer):
    """A base class that pools over a window before the convolution of the other base class, and upsamples its output.

    Args:
      filters: output channels.
      window, window_strides: see ImageWindow.
    """

    def __init__(
        self,
        filters: int,
        window: tuple[int, int] | None = None,
        window_strides: tuple[int, int] = (1, 1),
        **kwargs: Any,
    ):
        super().__init__(filters, **kwargs)
        self.window = ImageWindow(window, window_strides)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        height, width = ops.shape(inputs)[1:3]
        pooled = super().call(self.window.pool(inputs), training=training)
        return kernels.resize_align_corners(pooled, height, width)

    def cost(self, input_shape: Any) -> Cost:
        """Returns the parameters and multiply-adds; the convolution runs once per window."""
        batch, height, width, channels = input_shape
        cost: Cost = super().cost((batch, *self.window.count(height, width), channels))
        return cost

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.window.get_config()}


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class ImagePooling(_WindowPooled, ConvBN):
    """Image-level features: average pooling, 1x1 convolution, BN, ReLU, and bilinear upsampling back.

    [batch, height, width, channels] -> [batch, height, width, filters]

    Args:
      filters: output channels.
      window, window_strides: see ImageWindow.

    The other arguments are those of ConvBN.
    """


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class ImageGate(_WindowPooled, BiasedConv):
    """The gate of LR-ASPP (arXiv:1905.02244, Sec. 6.4): average pooling, 1x1 convolution, sigmoid, upsampling back.

    [batch, height, width, channels] -> [batch, height, width, filters], values in [0, 1]

    Args:
      filters: output channels.
      window, window_strides: see ImageWindow.

    The other arguments are those of BiasedConv.
    """
