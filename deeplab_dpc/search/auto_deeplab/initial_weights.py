"""Initial weights of the supernet, drawn with NumPy, so that they are the same on every backend."""

import math
import zlib

import numpy as np

from deeplab_dpc.models.segmenter import LOGITS_STDDEV
from deeplab_dpc.search.auto_deeplab.convolution import VARIANCE, Shape


def initial_weights(shapes: dict[str, Shape], seed: int) -> np.ndarray:
    """Returns all weights as one float32 vector, in the order of `shapes`.

    Kernels are uniform with variance 2 / fan-in (He et al., 2015, arXiv:1502.01852), those of the logits normal; gammas
    are 1, betas and biases 0.
    """
    return np.concatenate([_weight(name, shape, seed).ravel() for name, shape in shapes.items()])


def initial_statistics(shapes: dict[str, Shape]) -> np.ndarray:
    """Returns all moving averages as one float32 vector: means 0 and variances 1."""
    return np.concatenate(
        [np.full(shape, 1.0 if name.endswith(f"/{VARIANCE}") else 0.0, "float32") for name, shape in shapes.items()]
    )


def _weight(name: str, shape: Shape, seed: int) -> np.ndarray:
    leaf = name.rsplit("/", 1)[-1]
    if leaf in ("beta", "bias"):
        return np.zeros(shape, "float32")
    if leaf == "gamma":
        return np.ones(shape, "float32")
    # One seed per name: the draws of one part do not depend on which other parts there are.
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    if "logits/" in name:
        return (LOGITS_STDDEV * rng.standard_normal(shape)).astype("float32")
    limit = math.sqrt(6.0 / _fan_in(leaf, shape))
    return rng.uniform(-limit, limit, shape).astype("float32")


def _fan_in(leaf: str, shape: Shape) -> int:
    if leaf == "depthwise_kernel":
        return shape[0] * shape[1]
    if leaf == "pointwise_kernel":
        return shape[1]
    return math.prod(shape[:-1])
