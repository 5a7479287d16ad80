"""Many arrays as one vector, a single tensor to pass to a compiled step, to update and to write; and the state of a
search, which has such vectors.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from keras import ops

Shape = tuple[int, ...]
State = dict[str, Any]  # of a search: nested dictionaries of tensors, see search_program.py


class Layout:
    """The place of each array in the vector.

    Args:
      shapes: shapes of the arrays by name, in their order.
    """

    def __init__(self, shapes: Mapping[str, Shape]):
        self.shapes = dict(shapes)
        self._sizes = [math.prod(shape) for shape in self.shapes.values()]
        self.size = sum(self._sizes)

    def split(self, vector: Any) -> dict[str, Any]:
        """Returns the arrays [...] of a vector [size]; the gradient is one concatenation."""
        parts = ops.split(vector, np.cumsum(self._sizes)[:-1].tolist())
        return {name: ops.reshape(part, shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def joined(self, arrays: Mapping[str, Any]) -> Any:
        """Returns the vector [size] of those arrays, which may be in another order."""
        return ops.concatenate([ops.reshape(arrays[name], (-1,)) for name in self.shapes])


def prefixed(prefix: str, names: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values with the keys PREFIX/NAME instead of NAME."""
    return {f"{prefix}/{name}": value for name, value in names.items()}


def merged(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the union of the mappings."""
    return {name: value for part in parts for name, value in part.items()}
