"""Architectures as plain values, and the spaces in which they are searched. Nothing here loads TensorFlow or Keras."""

from typing import TYPE_CHECKING

from deeplab_dpc.lazy import lazy_names

if TYPE_CHECKING:
    from deeplab_dpc.arch.cell import BACKBONE, Branch, Cell
    from deeplab_dpc.arch.library import load_cell
    from deeplab_dpc.arch.operations import AtrousConv, Conv1x1, PyramidPooling
    from deeplab_dpc.arch.space import SearchSpace
else:  # With `__getattr__`, type checkers would accept any name.
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            **dict.fromkeys(("BACKBONE", "Branch", "Cell"), "deeplab_dpc.arch.cell"),
            **dict.fromkeys(("AtrousConv", "Conv1x1", "PyramidPooling"), "deeplab_dpc.arch.operations"),
            "SearchSpace": "deeplab_dpc.arch.space",
            "load_cell": "deeplab_dpc.arch.library",
        },
    )

__all__ = [
    "BACKBONE",
    "AtrousConv",
    "Branch",
    "Cell",
    "Conv1x1",
    "PyramidPooling",
    "SearchSpace",
    "load_cell",
]
