"""Compiled functions and their gradients on TensorFlow; jax_gradient.py has the same on JAX."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def compiled(function: Callable[..., Any], reused: tuple[int, ...] = ()) -> Callable[..., Any]:
    """Returns the function as a graph, traced once for each shape; XLA is used only where it helps (kernels.fused).

    Args:
      function: function of tensors.
      reused: indices of arguments whose memory may be reused; without effect here.
    """
    del reused
    graph: Callable[..., Any] = tf.function(function, autograph=False)
    return graph


def subprogram(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function for use in compiled ones: traced and optimised once for all calls with equal shapes."""
    graph: Callable[..., Any] = tf.function(function, autograph=False, experimental_attributes={"_noinline": True})
    return graph


def value_and_gradient(function: Callable[..., tuple[Any, Any]]) -> Callable[..., tuple[tuple[Any, Any], Any]]:
    """Returns a function that computes ((value, others), gradient of the value with respect to the first argument).

    Args:
      function: function that returns (value, others).
    """

    def computed(variables: Any, *arguments: Any) -> tuple[tuple[Any, Any], Any]:
        flat = tf.nest.flatten(variables)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(flat)
            value, others = function(variables, *arguments)
        gradient = tape.gradient(value, flat, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return (value, others), tf.nest.pack_sequence_as(variables, gradient)

    return computed
