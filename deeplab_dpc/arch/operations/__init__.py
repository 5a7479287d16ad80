"""The table of the operations of the search space.

Each operation has a module of its own in this folder, which describes it completely (see base.py). Its RUNTIME names
the module that computes it with Keras.
"""

import typing

from deeplab_dpc.arch.operations.atrous_conv import AtrousConv
from deeplab_dpc.arch.operations.conv1x1 import Conv1x1
from deeplab_dpc.arch.operations.pyramid_pooling import PyramidPooling

Operation = Conv1x1 | AtrousConv | PyramidPooling
OPERATIONS: tuple[type[Operation], ...] = typing.get_args(Operation)  # in the order of the search space

__all__ = ["OPERATIONS", "AtrousConv", "Conv1x1", "Operation", "PyramidPooling"]
