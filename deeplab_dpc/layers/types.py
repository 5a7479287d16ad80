"""What the annotations of layers name; Keras itself has no types."""

from typing import Any, TypeVar

Tensor = Any  # one of the backend, or a symbolic one
Shape = tuple[int | None, ...]  # None for a side that is known only when the graph runs
Side = TypeVar("Side", int, int | None)
