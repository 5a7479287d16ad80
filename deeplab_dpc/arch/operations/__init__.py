"""The table of the operations of the search space.

Each has a module of its own beside this one, which says all of it (base.py); what computes it with Keras is the module
that its RUNTIME names.
"""

import typing

from deeplab_dpc.arch.operations.atrous_conv import AtrousConv
from deeplab_dpc.arch.operations.conv1x1 import Conv1x1
from deeplab_dpc.arch.operations.pyramid_pooling import PyramidPooling

Operation = Conv1x1 | AtrousConv | PyramidPooling
OPERATIONS: tuple[type[Operation], ...] = typing.get_args(Operation)  # in the order of the search space

__all__ = ["OPERATIONS", "AtrousConv", "Conv1x1", "Operation", "PyramidPooling"]
