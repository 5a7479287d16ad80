"""Compiled functions, their gradients and the loop of the proxy's training on TensorFlow; jax_backend.py has the same
on JAX.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from deeplab_dpc.search.proxy.cell_network import Tensors
from deeplab_dpc.search.proxy.training_step import TrainingStep


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


def training_loop(step: TrainingStep) -> Any:
    """Returns a function that runs some training steps in one call, traced once; the host is idle between them. See
    jax_backend.py for its arguments.
    """

    def run(
        state: Tensors,
        wiring: Tensors,
        arrays: Tensors,
        rows: Any,
        rates: Any,
        seeds: Any,
        decay: Any,
        first: Any,
        count: Any,
    ) -> tuple[Tensors, Any]:
        def take(i: Any, state: Tensors, losses: Any) -> Any:
            batch = {name: tf.gather(values, rows[i]) for name, values in arrays.items()}
            gradient = value_and_gradient(step.losses)
            (loss, statistics), gradients = gradient(state["weights"], wiring, batch, seeds[i])
            return i + 1, step.updated(state, gradients, statistics, rates[i], decay), losses.write(i, loss)

        losses = tf.TensorArray(tf.float32, size=rows.shape[0], element_shape=(), clear_after_read=False)
        start = (first, state, losses)
        _, state, losses = tf.while_loop(lambda i, *_: i < first + count, take, start, parallel_iterations=1)
        return state, losses.stack()

    return tf.function(run, autograph=False)
