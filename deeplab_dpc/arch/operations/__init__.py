"""The table of the operations of dense prediction cells.

Each operation has a module of its own in this folder, which describes it completely (see base.py). Its RUNTIME names
the module that computes it with Keras. Other packages add theirs as entry points of the group deeplab_dpc.operations.
"""

import functools

from deeplab_dpc import own_parts
from deeplab_dpc.arch.operations.atrous_conv import AtrousConv
from deeplab_dpc.arch.operations.base import Operation
from deeplab_dpc.arch.operations.conv1x1 import Conv1x1
from deeplab_dpc.arch.operations.pyramid_pooling import PyramidPooling
from deeplab_dpc.errors import UserError

# The operations that every search space has, in its order.
OPERATIONS: tuple[type[Operation], ...] = (Conv1x1, AtrousConv, PyramidPooling)

__all__ = ["OPERATIONS", "AtrousConv", "Conv1x1", "Operation", "PyramidPooling", "known_operations", "own_operation"]


@functools.cache
def known_operations() -> tuple[type[Operation], ...]:
    """Returns the kinds of operations that a cell may have: OPERATIONS, then those of other packages, sorted by name.

    Raises:
      UserError: see own_operation.
    """
    return (*OPERATIONS, *map(own_operation, own_parts.names(own_parts.OPERATIONS)))


def own_operation(name: str) -> type[Operation]:
    """Imports and returns the operation of another package with that name, which must also be its OP.

    Raises:
      UserError: if it cannot be imported, is not a subclass of Operation, has another OP, or has the OP of an operation
        of this package.
    """
    kind: type[Operation] = own_parts.load(own_parts.OPERATIONS, name, Operation)
    if name != kind.OP or name in (published.OP for published in OPERATIONS):
        raise UserError(
            f"{name} of the entry points {own_parts.OPERATIONS} must be an operation whose OP is {name!r}, which no "
            f"operation of this package has, got one whose OP is {kind.OP!r}."
        )
    return kind
