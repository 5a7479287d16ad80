"""The names of variables, in this package and in published checkpoints."""

import re
from typing import Any

import keras
import numpy as np

PUBLISHED_LEAVES = {
    "kernel": "weights",
    "bias": "biases",
    "depthwise_kernel": "depthwise_weights",
    "decayed_depthwise_kernel": "depthwise_weights",
    "pointwise_kernel": "pointwise_weights",
}
# Layers that group other layers, and have no scope in published checkpoints.
UNSCOPED = re.compile(r"aspp|decoder_stage\d+")
BESIDE = re.compile(r"/[^/]+/\.\.")


def published_name(path: str) -> str:
    """Returns the published name of a variable with the given path in a model.

    A dot in a layer's name stands for a slash, which names cannot contain. Two dots at the beginning of a name move its
    variables out of the parent layer, as in file paths.

    >>> published_name("segmenter/meta_architecture/branch0/branch0_depthwise/BatchNorm/gamma")
    'meta_architecture/branch0_depthwise/BatchNorm/gamma'
    >>> published_name("segmenter/hnasnet/cell_0/comb_iter_0.left/atrous_5x5/..bn_atr_5x5/gamma")
    'hnasnet/cell_0/comb_iter_0/left/bn_atr_5x5/gamma'
    """
    path = BESIDE.sub("/", path)
    *scopes, leaf = path.replace(".", "/").split("/")[1:]
    kept = [
        scope
        for scope, below in zip(scopes, [*scopes[1:], ""], strict=True)
        if not UNSCOPED.fullmatch(scope) and not re.fullmatch(f"{re.escape(scope)}_(depthwise|pointwise)", below)
    ]
    return "/".join([*kept, PUBLISHED_LEAVES.get(leaf, leaf)])


def named_variables(model: keras.Model) -> dict[str, Any]:
    """Returns the weights of a model by published name: trainable weights and moving statistics, but no seeds."""
    return {published_name(variable.path): variable for variable in model.weights}


def named_arrays(model: keras.Model) -> dict[str, np.ndarray]:
    """Returns copies of the weights of a model by published name."""
    return {name: np.array(variable) for name, variable in named_variables(model).items()}
