"""Compiled functions and their gradients on JAX; tensorflow_gradient.py has the same on TensorFlow."""

from collections.abc import Callable
from typing import Any

import jax


def compiled(function: Callable[..., Any], reused: tuple[int, ...] = ()) -> Callable[..., Any]:
    """Returns the function, compiled for each shape of its arguments.

    Args:
      function: function of tensors.
      reused: indices of arguments whose memory is reused, which the caller must not read afterwards.
    """
    program: Callable[..., Any] = jax.jit(function, donate_argnums=reused)
    return program


def subprogram(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function for use in compiled ones: traced once for all calls with arguments of equal shapes."""
    program: Callable[..., Any] = jax.jit(function)
    return program


def value_and_gradient(function: Callable[..., tuple[Any, Any]]) -> Callable[..., tuple[tuple[Any, Any], Any]]:
    """Returns a function that computes ((value, others), gradient of the value with respect to the first argument).

    Args:
      function: function that returns (value, others).
    """
    gradient: Callable[..., tuple[tuple[Any, Any], Any]] = jax.value_and_grad(function, has_aux=True)
    return gradient
