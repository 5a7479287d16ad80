"""The computation of the operations of a dense prediction cell: one module per operation, listed in arch/operations."""

import functools
import importlib
from typing import Any

from deeplab_dpc.arch.operations import Operation
from deeplab_dpc.layers.operations.runtime import OperationRuntime


@functools.cache
def runtime_of(kind: type[Operation]) -> OperationRuntime[Any]:
    """Returns the runtime of the operations of a kind."""
    runtime = importlib.import_module(kind.RUNTIME).RUNTIME
    if not isinstance(runtime, OperationRuntime):
        raise TypeError(f"RUNTIME of {kind.RUNTIME} must be an OperationRuntime, got {runtime!r}.")
    return runtime
