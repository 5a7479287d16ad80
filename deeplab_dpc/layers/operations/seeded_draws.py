"""Random numbers by name, drawn with NumPy: they are the same on every backend."""

import math

import numpy as np


class SeededDraws:
    """A source of random arrays by name, shape and distribution; each is drawn once and returned again on later calls.

    Args:
      seed: seed of all draws, >= 0.
    """

    def __init__(self, seed: int):
        self._seed = seed
        self._drawn: dict[tuple[str, str, tuple[int, ...]], np.ndarray] = {}

    def uniform(self, name: str, *shape: int) -> np.ndarray:
        """Returns float32 numbers in [-1, 1)."""
        key = ("uniform", name, shape)
        if key not in self._drawn:
            self._drawn[key] = self._rng(name).uniform(-1.0, 1.0, shape).astype("float32")
        return self._drawn[key]

    def normal(self, name: str, *shape: int) -> np.ndarray:
        """Returns standard normal float32 numbers, truncated at two standard deviations."""
        key = ("normal", name, shape)
        if key not in self._drawn:
            rng = self._rng(name)
            values = rng.standard_normal(shape)
            while (outside := np.abs(values) > 2.0).any():
                values[outside] = rng.standard_normal(int(outside.sum()))
            self._drawn[key] = values.astype("float32")
        return self._drawn[key]

    def glorot_kernel(self, name: str, channels: int, width: int, filters: int) -> np.ndarray:
        """Returns float32 [width, filters]: Glorot's uniform distribution for that number of input channels, then
        zeros.
        """
        kernel = np.zeros((width, filters), "float32")
        kernel[:channels] = math.sqrt(6.0 / (channels + filters)) * self.uniform(name, width, filters)[:channels]
        return kernel

    def _rng(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self._seed, *name.encode()])
