"""Alphas and betas: their raw values, and the probabilities that they stand for (arXiv:1901.02985, Eq. 3 and 7)."""

from typing import Any

import numpy as np
from keras import ops

from deeplab_dpc.arch.genotype import OPERATORS
from deeplab_dpc.search.auto_deeplab.mixed_cell import edge_rows
from deeplab_dpc.search.auto_deeplab.supernet import NUM_LEVELS, Supernet

INITIAL_STDDEV = 1e-3
ABSENT = -1e9  # in place of the raw value of a connection that does not exist
ALPHAS, BETAS = "alphas", "betas"


def existing_connections(supernet: Supernet) -> np.ndarray:
    """Which betas there are, float32 [layers, levels, 3] of 0 and 1.

    Entry [l, k, i] is the connection from level k of layer l, where layer 0 is the stem, to level k + i - 1 of layer
    l + 1.
    """
    exists = np.zeros((supernet.num_layers, NUM_LEVELS, 3), "float32")
    for connection in supernet.connections:
        exists[connection.layer - 1, connection.source, connection.target - connection.source + 1] = 1.0
    return exists


def initial_architecture(supernet: Supernet, seed: int) -> dict[str, np.ndarray]:
    """Raw alphas [edges, operators] and betas [layers, levels, 3]: 1e-3 times normal numbers, 0 for what is absent."""
    rng = np.random.default_rng([seed, *b"architecture"])
    exists = existing_connections(supernet)
    alphas = INITIAL_STDDEV * rng.standard_normal((len(edge_rows(supernet.num_blocks)), len(OPERATORS)))
    betas = INITIAL_STDDEV * rng.standard_normal(exists.shape) * exists
    return {ALPHAS: alphas.astype("float32"), BETAS: betas.astype("float32")}


def mixtures(architecture: dict[str, Any], exists: np.ndarray) -> dict[str, Any]:
    """The probabilities: of the operators of each edge, and of the connections that leave each node.

    What is absent has probability 0, and so has all that leaves a node which does not exist.
    """
    raw = ops.where(exists > 0, architecture[BETAS], ABSENT)
    return {
        ALPHAS: ops.softmax(architecture[ALPHAS], axis=-1),
        BETAS: ops.softmax(raw, axis=-1) * exists,
    }
