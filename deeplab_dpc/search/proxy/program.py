"""The compiled program of the proxy, which trains and scores any cell with any seed and budget. It is compiled once
per process for each network and loss.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from deeplab_dpc.search.proxy.cell_network import CellNetwork, Tensors
from deeplab_dpc.search.proxy.device_scoring import confusion, cross_entropy
from deeplab_dpc.search.proxy.training_step import TrainingStep
from deeplab_dpc.training.losses import SegmentationLoss
from deeplab_dpc.training.separated_loss import SeparatedLoss

if keras.backend.backend() == "tensorflow":
    from deeplab_dpc.search.proxy.tensorflow_backend import compiled, training_loop
else:
    from deeplab_dpc.search.proxy.jax_backend import compiled, training_loop

LABELS = "labels"  # key of the labels in a batch, for the exact loss
KEPT_PROGRAMS = 8


@dataclasses.dataclass(frozen=True)
class ProxyLoss:
    """The loss of the proxy.

    Attributes:
      feature_size, label_size: (height, width) of the logits and of the labels.
      num_classes: number of channels of the logits.
      ignore_label: label of unlabelled and padded pixels.
      nodes: number of nodes of the separated loss, per axis and cell; 0 for the exact loss.
      label_weights: weight of each class; empty if all are 1.
    """

    feature_size: tuple[int, int]
    label_size: tuple[int, int]
    num_classes: int
    ignore_label: int
    nodes: int
    label_weights: tuple[float, ...]

    def separated(self) -> SeparatedLoss:
        """Returns the separated loss; to be called only if there are nodes."""
        sizes = self.feature_size, self.label_size
        return SeparatedLoss(*sizes, self.num_classes, self.ignore_label, self.nodes, self.label_weights)

    def function(self) -> Callable[[Tensors, Any], Any]:
        """Returns the loss as a function of (targets, logits).

        Raises:
          UserError: if the number of label weights is not that of the classes.
        """
        if self.nodes:
            return self.separated()
        exact = SegmentationLoss(self.ignore_label, self.label_weights)
        exact.check_classes(self.num_classes)
        return lambda targets, logits: exact(ops.cast(targets[LABELS], "int32"), logits)


@dataclasses.dataclass(frozen=True)
class Program:
    """The compiled functions of the proxy.

    Attributes:
      network: network of any cell that fits its capacity.
      run: function that runs some steps of a training, see jax_backend.py.
      score: function of (weights, statistics, wiring, features, labels) that returns the confusion matrix, int32
        [classes, classes], and the cross entropy of each image, summed over its labelled pixels, float32 [batch].
    """

    network: CellNetwork
    run: Callable[..., tuple[Tensors, Any]]
    score: Callable[..., tuple[Any, Any]]


@functools.lru_cache(maxsize=KEPT_PROGRAMS)
def program(network: CellNetwork, loss: ProxyLoss) -> Program:
    """Returns the program, whose functions are compiled when they are first called.

    Args:
      network: network of any cell that fits its capacity.
      loss: loss of the proxy.

    Raises:
      UserError: if the number of label weights is not that of the classes.
    """

    def score(weights: Any, statistics: Any, wiring: Tensors, features: Any, labels: Any) -> tuple[Any, Any]:
        logits, _ = network(weights, wiring, features, statistics)
        counts = confusion(logits, labels, loss.num_classes, loss.ignore_label)
        return counts, cross_entropy(logits, labels, loss.ignore_label)

    return Program(network, training_loop(TrainingStep(network, loss.function())), compiled(score))
