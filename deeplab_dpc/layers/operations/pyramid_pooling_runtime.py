"""The runtime of pooling over a grid."""

from typing import Any

import keras
import numpy as np
from keras import ops

from deeplab_dpc.arch.operations.pyramid_pooling import PyramidPooling
from deeplab_dpc.layers.interpolation import interpolation_matrix
from deeplab_dpc.layers.operations.functional import masked_batch_norm, pointwise, resized
from deeplab_dpc.layers.operations.runtime import Arrays, PointwiseRuntime, Tensors
from deeplab_dpc.layers.pooling import GridPyramidPooling, cell_means


class PyramidPoolingRuntime(PointwiseRuntime[PyramidPooling]):
    """The runtime of PyramidPooling; see OperationRuntime. The wiring of a branch consists of float32 arrays:

    grid_points: [grid, grid], 1 where a point of the pooling grid is used, 0 elsewhere.
    pool_rows, pool_columns: weights of the means over grid cells, [grid, h] and [grid, w].
    upsample_rows, upsample_columns: weights of the upsampling with aligned corners, [h, grid] and [w, grid].
    """

    def layer(
        self, operation: PyramidPooling, filters: int, output_stride: int, **arguments: Any
    ) -> keras.layers.Layer:
        return GridPyramidPooling(filters, operation.grid, **arguments)

    def blank_wiring(self, grid: int, size: tuple[int, int]) -> Arrays:
        height, width = size
        blank = {
            "grid_points": np.zeros((grid, grid), "float32"),
            "pool_rows": np.zeros((grid, height), "float32"),
            "pool_columns": np.zeros((grid, width), "float32"),
            "upsample_rows": np.zeros((height, grid), "float32"),
            "upsample_columns": np.zeros((width, grid), "float32"),
        }
        blank["grid_points"][0, 0] = 1.0  # so that no mean is over zero points
        return blank

    def wiring(self, operation: PyramidPooling, grid: int, size: tuple[int, int], output_stride: int) -> Arrays:
        (down, across), (height, width) = operation.grid, size
        wiring = self.blank_wiring(grid, size)
        wiring["grid_points"][:down, :across] = 1.0
        wiring["pool_rows"][:down] = ops.convert_to_numpy(cell_means(height, down))
        wiring["pool_columns"][:across] = ops.convert_to_numpy(cell_means(width, across))
        wiring["upsample_rows"][:, :down] = interpolation_matrix(down, height)
        wiring["upsample_columns"][:, :across] = interpolation_matrix(across, width)
        return wiring

    def apply(self, x: Any, weights: Tensors, wiring: Tensors, known: Tensors | None) -> tuple[Any, Tensors]:
        pooled = ops.cast(resized(x, wiring["pool_rows"], wiring["pool_columns"]), x.dtype)
        pooled = ops.cast(pointwise(pooled, weights["kernel"]), "float32")
        y, mean, variance = masked_batch_norm(pooled, wiring["grid_points"], weights, known)
        upsampled = resized(ops.relu(y), wiring["upsample_rows"], wiring["upsample_columns"])
        return ops.cast(upsampled, x.dtype), {"mean": mean, "variance": variance}


RUNTIME = PyramidPoolingRuntime()
