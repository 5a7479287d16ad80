"""Types for the annotations of layers; Keras itself has none."""

from typing import Any, TypeVar

Tensor = Any  # a tensor of the backend, or a symbolic tensor
Shape = tuple[int | None, ...]  # None for a side that is known only when the graph runs
Side = TypeVar("Side", int, int | None)
