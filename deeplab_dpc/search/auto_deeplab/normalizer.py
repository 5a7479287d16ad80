"""Batch norm as a function, with the statistics of the batch, which are collected, or with known statistics."""

from typing import Any

import numpy as np

from deeplab_dpc.layers import kernels

EPSILON = 1e-3  # as in the published retrained network
MEAN, VARIANCE = "mean", "variance"


class Normalizer:
    """Batch norm over all axes but the last.

    Args:
      known: means and variances by "NAME/mean" and "NAME/variance"; None for those of the batch, which are then in
        `found` under these names, with unbiased variances.
    """

    def __init__(self, known: dict[str, Any] | None = None):
        self.known = known
        self.found: dict[str, Any] = {}

    def __call__(self, name: str, x: Any, gamma: Any = None, beta: Any = None) -> Any:
        """Returns gamma * (x - mean) / sqrt(variance + epsilon) + beta for [batch, height, width, channels].

        Args:
          name: name of the statistics.
          x: values to normalise.
          gamma, beta: scale and offset, float32 [channels]; None for 1 and 0.
        """
        channels = x.shape[-1]
        gamma = np.ones(channels, "float32") if gamma is None else gamma
        beta = np.zeros(channels, "float32") if beta is None else beta
        if self.known is not None:
            mean, variance = self.known[f"{name}/{MEAN}"], self.known[f"{name}/{VARIANCE}"]
            return kernels.batch_norm_inference(x, gamma, beta, mean, variance, EPSILON)
        y, mean, variance = kernels.batch_norm_training(x, gamma, beta, EPSILON)
        self.found |= {f"{name}/{MEAN}": mean, f"{name}/{VARIANCE}": variance}
        return y


def statistics_shapes(channels: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the statistics by name, for the batch norms with those names."""
    return {f"{name}/{part}": (count,) for name, count in channels.items() for part in (MEAN, VARIANCE)}
