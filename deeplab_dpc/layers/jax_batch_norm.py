"""Batch norm of training on JAX with the gradient written by hand (Ioffe and Szegedy, 2015, arXiv:1502.03167, Sec. 3).

It takes two passes over memory; the gradient that JAX derives from the operations takes several times as many.
"""

import functools
from typing import Any

import jax
from jax import numpy as jnp

from deeplab_dpc.layers.types import Tensor


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_norm(x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Normalises [batch, height, width, channels] over all axes but the last; sums are in float32.

    Args:
      x: features, any floating dtype.
      gamma, beta: scale and offset, float32 [channels].
      epsilon: number added to the variance, > 0.

    Returns:
      The normalised `x` in its dtype, and the mean and the biased variance, float32 [channels].
    """
    outputs: tuple[Tensor, Tensor, Tensor] = _forward(x, gamma, beta, epsilon)[0]
    return outputs


def _forward(x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> tuple[Any, Any]:
    wide = x.astype("float32")
    mean = jnp.mean(wide, (0, 1, 2))
    centred = wide - mean
    variance = jnp.mean(centred * centred, (0, 1, 2))
    scale = jax.lax.rsqrt(variance + epsilon)
    y = centred * (scale * gamma) + beta
    return (y.astype(x.dtype), mean, variance), (x, gamma, mean, scale)


def _gradients(epsilon: float, saved: Any, upstream: Any) -> tuple[Tensor, Tensor, Tensor]:
    x, gamma, mean, scale = saved
    by_y, by_mean, by_variance = upstream
    count = x.size // x.shape[-1]
    wide, centred = by_y.astype("float32"), x.astype("float32") - mean
    by_beta = jnp.sum(wide, (0, 1, 2))
    by_gamma = jnp.sum(wide * centred, (0, 1, 2)) * scale
    by_x = (wide - by_beta / count - centred * (scale * by_gamma / count)) * (gamma * scale)
    by_x = by_x + by_mean / count + centred * (2.0 * by_variance / count)
    return by_x.astype(x.dtype), by_gamma, by_beta


batch_norm.defvjp(_forward, _gradients)
