"""Initial weights of the proxy's network, drawn with NumPy, so that they do not depend on the backend.

The distributions are those of the layers: those of the operations from OperationRuntime.drawn_weights, a truncated
normal for the logits, Glorot's uniform for the projection.
"""

import math
from typing import Any

import numpy as np

from deeplab_dpc.arch.cell import BACKBONE, Cell
from deeplab_dpc.arch.operations import known_operations
from deeplab_dpc.layers.operations import runtime_of
from deeplab_dpc.layers.operations.seeded_draws import SeededDraws
from deeplab_dpc.models.segmenter import LOGITS_STDDEV
from deeplab_dpc.search.proxy.cell_network import CellNetwork


class InitialWeights:
    """The initial weights of any cell, drawn once; weights that a cell does not use are 0.

    Args:
      network: network of the weights.
      seed: seed of the draws.
    """

    def __init__(self, network: CellNetwork, seed: int):
        self.network = network
        self._draws = SeededDraws(seed)

    def of(self, cell: Cell) -> dict[str, Any]:
        """Returns the weights of a cell, float32 arrays in the structure that the network reads."""
        network = self.network
        filters, branches = network.filters, network.capacity.branches
        projection = np.zeros((branches, filters, filters), "float32")
        used = len(cell.branches)
        limit = math.sqrt(6.0 / (used * filters + filters))
        projection[:used] = limit * self._draws.uniform("projection", branches, filters, filters)[:used]
        return {
            "branches": [self._branch(cell, i) for i in range(branches)],
            "projection": {"kernel": projection, **_normalization(filters)},
            "logits": {
                "kernel": LOGITS_STDDEV * self._draws.normal("logits", filters, network.num_classes),
                "bias": np.zeros(network.num_classes, "float32"),
            },
        }

    def _branch(self, cell: Cell, i: int) -> dict[str, np.ndarray]:
        network = self.network
        filters, width = network.filters, network.width
        weights = {"kernel": np.zeros((width, filters), "float32"), **_normalization(filters)}
        for kind in known_operations():
            weights |= runtime_of(kind).further_weights(width)
        if i < len(cell.branches):
            branch = cell.branches[i]
            channels = network.channels if branch.input == BACKBONE else filters
            weights |= runtime_of(type(branch.operation)).drawn_weights(self._draws, i, channels, width, filters)
        return weights


def initial_statistics(network: CellNetwork) -> dict[str, Any]:
    """Returns the moving averages before the first step: mean 0 and variance 1."""
    branches = [dict(network.initial_statistics) for _ in range(network.capacity.branches)]
    filters = network.filters
    projection = {"mean": np.zeros(filters, "float32"), "variance": np.ones(filters, "float32")}
    return {"branches": branches, "projection": projection}


def _normalization(channels: int) -> dict[str, np.ndarray]:
    return {"gamma": np.ones(channels, "float32"), "beta": np.zeros(channels, "float32")}
