"""Several steps of the proxy's training in one call on TensorFlow, traced once; the host is idle between them."""

from typing import Any

import tensorflow as tf

from deeplab_dpc.search.proxy.cell_network import Tensors
from deeplab_dpc.search.proxy.training_step import TrainingStep


def training_loop(step: TrainingStep) -> Any:
    """Returns a function that runs some training steps; see jax_loop.py for its arguments."""

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
            weights = tf.nest.flatten(state["weights"])
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(weights)
                loss, statistics = step.losses(state["weights"], wiring, batch, seeds[i])
            gradients = tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            gradients = tf.nest.pack_sequence_as(state["weights"], gradients)
            return i + 1, step.updated(state, gradients, statistics, rates[i], decay), losses.write(i, loss)

        losses = tf.TensorArray(tf.float32, size=rows.shape[0], element_shape=(), clear_after_read=False)
        start = (first, state, losses)
        _, state, losses = tf.while_loop(lambda i, *_: i < first + count, take, start, parallel_iterations=1)
        return state, losses.stack()

    return tf.function(run, autograph=False)
