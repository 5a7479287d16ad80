"""Alphas and betas: their raw values, and the probabilities computed from them (arXiv:1901.02985, Eq. 3 and 7)."""

from typing import Any

import numpy as np
from keras import ops

from deeplab_dpc.arch.genotype import OPERATORS
from deeplab_dpc.search.auto_deeplab.decoding import edge_mask
from deeplab_dpc.search.auto_deeplab.mixed_cell import edge_rows
from deeplab_dpc.search.auto_deeplab.supernet import Supernet

INITIAL_STDDEV = 1e-3
ABSENT = -1e9  # raw value of a connection that does not exist
ALPHAS, BETAS = "alphas", "betas"


def initial_architecture(supernet: Supernet, seed: int) -> dict[str, np.ndarray]:
    """Returns raw alphas [edges, operators] and betas [layers, levels, 3]: 1e-3 times normal numbers, 0 where absent.

    The beta [l, k, i] is of the connection from level k of layer l, where layer 0 is the stem, to level k + i - 1 of
    layer l + 1.
    """
    rng = np.random.default_rng([seed, *b"architecture"])
    exists = edge_mask(supernet.num_layers)
    alphas = INITIAL_STDDEV * rng.standard_normal((len(edge_rows(supernet.num_blocks)), len(OPERATORS)))
    betas = INITIAL_STDDEV * rng.standard_normal(exists.shape) * exists
    return {ALPHAS: alphas.astype("float32"), BETAS: betas.astype("float32")}


def mixtures(architecture: dict[str, Any], exists: np.ndarray) -> dict[str, Any]:
    """Returns the probabilities of the operators of each edge, and of the connections that leave each node.

    Args:
      architecture: raw alphas and betas.
      exists: bool [layers, levels, 3], see decoding.edge_mask; absent connections have probability 0, and so have all
        that leave a node which does not exist.
    """
    raw = ops.where(exists, architecture[BETAS], ABSENT)
    return {
        ALPHAS: ops.softmax(architecture[ALPHAS], axis=-1),
        BETAS: ops.where(exists, ops.softmax(raw, axis=-1), 0.0),
    }
