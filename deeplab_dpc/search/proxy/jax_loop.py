"""Several steps of the proxy's training in one call on JAX, compiled once; the host is idle between them."""

from typing import Any

import jax
from jax import numpy as jnp

from deeplab_dpc.search.proxy.cell_network import Tensors
from deeplab_dpc.search.proxy.training_step import TrainingStep


def training_loop(step: TrainingStep) -> Any:
    """Returns a function that runs some training steps; see `run` below."""

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
            gradient = jax.value_and_grad(step.losses, has_aux=True)
            (loss, statistics), gradients = gradient(state["weights"], wiring, batch, seeds[i])
            return step.updated(state, gradients, statistics, rates[i], decay), losses.at[i].set(loss)

        taken: tuple[Tensors, Any] = jax.lax.fori_loop(first, first + count, take, (state, jnp.zeros(len(rows))))
        return taken

    return jax.jit(run, donate_argnums=0)
