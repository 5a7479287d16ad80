"""Layers of the segmentation networks, in keras.ops: the same on TensorFlow and JAX, and usable in any functional
model.
"""

from typing import TYPE_CHECKING

from deeplab_dpc.lazy import lazy_names

if TYPE_CHECKING:
    from deeplab_dpc.layers.aspp import ASPP
    from deeplab_dpc.layers.conv import ConvBN
    from deeplab_dpc.layers.dense_prediction_cell import DensePredictionCell
    from deeplab_dpc.layers.normalization import BatchNorm
    from deeplab_dpc.layers.pooling import GridPyramidPooling, ImagePooling
    from deeplab_dpc.layers.resize import ResizeAlignCorners
    from deeplab_dpc.layers.separable_conv import SplitSeparableConvBN
else:  # With `__getattr__`, type checkers would accept any name.
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "ASPP": "deeplab_dpc.layers.aspp",
            "BatchNorm": "deeplab_dpc.layers.normalization",
            "ConvBN": "deeplab_dpc.layers.conv",
            "DensePredictionCell": "deeplab_dpc.layers.dense_prediction_cell",
            "GridPyramidPooling": "deeplab_dpc.layers.pooling",
            "ImagePooling": "deeplab_dpc.layers.pooling",
            "ResizeAlignCorners": "deeplab_dpc.layers.resize",
            "SplitSeparableConvBN": "deeplab_dpc.layers.separable_conv",
        },
    )

__all__ = [
    "ASPP",
    "BatchNorm",
    "ConvBN",
    "DensePredictionCell",
    "GridPyramidPooling",
    "ImagePooling",
    "ResizeAlignCorners",
    "SplitSeparableConvBN",
]
