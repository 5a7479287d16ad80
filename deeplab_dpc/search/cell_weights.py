"""Initial weights of the proxy's network, drawn with NumPy: the same on every backend, and whatever runs the network.

The distributions are those of the layers: a truncated normal for separable convolutions and logits, else Glorot's
uniform.
"""

import math
from typing import Any

import numpy as np

from deeplab_dpc.arch.cell import BACKBONE, Cell
from deeplab_dpc.models.segmenter import LOGITS_STDDEV
from deeplab_dpc.search.cell_network import CellNetwork
from deeplab_dpc.search.wiring import ATROUS, kind_of

DEPTHWISE_STDDEV = 0.33
POINTWISE_STDDEV = 0.06


class InitialWeights:
    """Draws once, and gives each cell what it needs of it; what a cell does not use is 0.

    Args:
      network: that the weights are for.
      seed: of the draws.
    """

    def __init__(self, network: CellNetwork, seed: int):
        self.network = network
        self._seed = seed
        self._drawn: dict[str, np.ndarray] = {}

    def of(self, cell: Cell) -> dict[str, Any]:
        """float32 arrays in the structure that the network reads."""
        network = self.network
        filters, branches = network.filters, network.capacity.branches
        projection = np.zeros((branches, filters, filters), "float32")
        used = len(cell.branches)
        limit = math.sqrt(6.0 / (used * filters + filters))
        projection[:used] = limit * self._uniform("projection", branches, filters, filters)[:used]
        return {
            "branches": [self._branch(cell, i) for i in range(branches)],
            "projection": {"kernel": projection, **_normalization(filters)},
            "logits": {
                "kernel": LOGITS_STDDEV * self._normal("logits", filters, network.num_classes),
                "bias": np.zeros(network.num_classes, "float32"),
            },
        }

    def _branch(self, cell: Cell, i: int) -> dict[str, np.ndarray]:
        network = self.network
        filters, width = network.filters, network.width
        kernel, depthwise_kernel = np.zeros((width, filters), "float32"), np.zeros((3, 3, width, 1), "float32")
        if i < len(cell.branches):
            branch = cell.branches[i]
            channels = network.channels if branch.input == BACKBONE else filters
            if kind_of(branch.operation) == ATROUS:
                kernel[:channels] = POINTWISE_STDDEV * self._normal(f"pointwise {i}", width, filters)[:channels]
                drawn = self._normal(f"depthwise {i}", 3, 3, width, 1)
                depthwise_kernel[:, :, :channels] = DEPTHWISE_STDDEV * drawn[:, :, :channels]
            else:
                limit = math.sqrt(6.0 / (channels + filters))
                kernel[:channels] = limit * self._uniform(f"kernel {i}", width, filters)[:channels]
        inner = {f"depthwise_{name}": value for name, value in _normalization(width).items()}
        return {"kernel": kernel, **_normalization(filters), "depthwise_kernel": depthwise_kernel, **inner}

    def _uniform(self, name: str, *shape: int) -> np.ndarray:
        if name not in self._drawn:
            self._drawn[name] = self._rng(name).uniform(-1.0, 1.0, shape).astype("float32")
        return self._drawn[name]

    def _normal(self, name: str, *shape: int) -> np.ndarray:
        """Standard normal, drawn again beyond two standard deviations."""
        if name not in self._drawn:
            rng = self._rng(name)
            values = rng.standard_normal(shape)
            while (outside := np.abs(values) > 2.0).any():
                values[outside] = rng.standard_normal(int(outside.sum()))
            self._drawn[name] = values.astype("float32")
        return self._drawn[name]

    def _rng(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self._seed, *name.encode()])


def initial_statistics(network: CellNetwork) -> dict[str, Any]:
    """Moving averages before the first step: mean 0 and variance 1."""
    branches = [
        {**_statistics("", network.filters), **_statistics("depthwise_", network.width)}
        for _ in range(network.capacity.branches)
    ]
    return {"branches": branches, "projection": _statistics("", network.filters)}


def _normalization(channels: int) -> dict[str, np.ndarray]:
    return {"gamma": np.ones(channels, "float32"), "beta": np.zeros(channels, "float32")}


def _statistics(prefix: str, channels: int) -> dict[str, np.ndarray]:
    return {f"{prefix}mean": np.zeros(channels, "float32"), f"{prefix}variance": np.ones(channels, "float32")}
