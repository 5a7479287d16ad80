"""A step of the proxy's training as a function, with momentum as in TensorFlow 1 and the published weight decay.

    accumulator = momentum * accumulator + gradient
    weight = weight - rate * accumulator
    moving = decay * moving + (1 - decay) * batch            (the statistics of batch norm)

The loss includes half the decay times the squared norm of every kernel but the depthwise ones.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from deeplab_dpc.search.proxy.cell_network import CellNetwork, Tensors

MOMENTUM = 0.9
WEIGHT_DECAY = 4e-5
FEATURES = "features"  # key of the features in a batch; the other tensors are inputs of the loss


@dataclasses.dataclass(frozen=True)
class TrainingStep:
    """The computation of one step; the loop over steps depends on the backend (jax_backend.py, tensorflow_backend.py).

    Attributes:
      network: network that is trained.
      loss: function that returns the loss of (targets, logits), a float32 scalar.
    """

    network: CellNetwork
    loss: Callable[[Tensors, Any], Any]

    def losses(self, weights: Any, wiring: Tensors, batch: Tensors, seed: Any) -> tuple[Any, Any]:
        """Returns the loss with weight decay, and the batch's statistics.

        Args:
          weights, wiring: see CellNetwork.
          batch: features and the inputs of the loss.
          seed: seed of the dropout; None for no dropout.
        """
        targets = {name: values for name, values in batch.items() if name != FEATURES}
        logits, statistics = self.network(weights, wiring, batch[FEATURES], seed=seed)
        decayed = [*(branch["kernel"] for branch in weights["branches"])]
        decayed += [weights["projection"]["kernel"], weights["logits"]["kernel"]]
        return self.loss(targets, logits) + 0.5 * WEIGHT_DECAY * sum(
            ops.sum(ops.square(x)) for x in decayed
        ), statistics

    def updated(self, state: Tensors, gradients: Any, statistics: Any, rate: Any, decay: Any) -> Tensors:
        """Returns the state {weights, statistics, accumulators} after a step.

        Args:
          state: state before the step.
          gradients: gradients of the weights.
          statistics: statistics of the batch.
          rate: learning rate.
          decay: decay of the moving averages.
        """
        tree = keras.tree
        accumulators = tree.map_structure(lambda a, g: MOMENTUM * a + g, state["accumulators"], gradients)
        return {
            "weights": tree.map_structure(lambda w, a: w - rate * a, state["weights"], accumulators),
            "statistics": tree.map_structure(
                lambda moving, batch: decay * moving + (1.0 - decay) * batch, state["statistics"], statistics
            ),
            "accumulators": accumulators,
        }


def initial_state(weights: Any, statistics: Any) -> Tensors:
    """Returns the state before the first step."""
    tree = keras.tree
    on_device = [tree.map_structure(ops.convert_to_tensor, part) for part in (weights, statistics)]
    accumulators = tree.map_structure(ops.zeros_like, on_device[0])
    return {"weights": on_device[0], "statistics": on_device[1], "accumulators": accumulators}
