"""Compiled functions, their gradients and the loop of the proxy's training on JAX; tensorflow_backend.py has the same
on TensorFlow.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax import numpy as jnp

from deeplab_dpc.search.proxy.cell_network import Tensors
from deeplab_dpc.search.proxy.training_step import TrainingStep


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


def training_loop(step: TrainingStep) -> Any:
    """Returns a function that runs some training steps in one call, compiled once; the host is idle between them. See
    `run` below.
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
        """Returns the state after some of the steps, and their losses, float32 [steps]; the losses of the other steps
        are 0.

        Args:
          state: state before the steps; its memory is reused.
          wiring: wiring of the cell.
          arrays: tensors with one image per row.
          rows: indices of rows, int32 [steps, batch].
          rates, seeds: learning rates and dropout seeds, float32 and int32 [steps].
          decay: decay of the moving averages.
          first, count: int32 scalars; `count` steps are run, from step `first` on.
        """

        def take(i: Any, carry: Any) -> Any:
            state, losses = carry
            batch = {name: values[rows[i]] for name, values in arrays.items()}
            gradient = value_and_gradient(step.losses)
            (loss, statistics), gradients = gradient(state["weights"], wiring, batch, seeds[i])
            return step.updated(state, gradients, statistics, rates[i], decay), losses.at[i].set(loss)

        taken: tuple[Tensors, Any] = jax.lax.fori_loop(first, first + count, take, (state, jnp.zeros(len(rows))))
        return taken

    return jax.jit(run, donate_argnums=0)
