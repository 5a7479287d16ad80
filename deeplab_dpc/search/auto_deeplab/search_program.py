"""The compiled steps of the search: one batch trains the weights, another one alphas and betas (arXiv:1901.02985, Sec.
4.2).

The search is of first order: the gradient of alphas and betas is that of the loss at the current weights
(arXiv:1806.09055, Sec. 2.3). Alphas and betas have raw values, from which their probabilities are computed
(arXiv:1901.02985, Eq. 3 and 7).
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from deeplab_dpc.arch.genotype import OPERATORS
from deeplab_dpc.config import AutoDeepLabConfig
from deeplab_dpc.models.segmenter import HEAD_BATCH_NORM_DECAY, limited_decay
from deeplab_dpc.search.auto_deeplab.decoding import edge_mask
from deeplab_dpc.search.auto_deeplab.initial_weights import initial_statistics, initial_weights
from deeplab_dpc.search.auto_deeplab.layout import State
from deeplab_dpc.search.auto_deeplab.mixed_cell import edge_rows
from deeplab_dpc.search.auto_deeplab.supernet import Supernet, named_shapes
from deeplab_dpc.search.proxy.device_scoring import confusion
from deeplab_dpc.training.losses import SegmentationLoss

if keras.backend.backend() == "tensorflow":
    from deeplab_dpc.search.proxy.tensorflow_backend import compiled, value_and_gradient
else:
    from deeplab_dpc.search.proxy.jax_backend import compiled, value_and_gradient

ADAM_DECAYS = (0.9, 0.999)
ADAM_EPSILON = 1e-8
INITIAL_STDDEV = 1e-3
ABSENT = -1e9  # raw value of a connection that does not exist
ALPHAS, BETAS = "alphas", "betas"


class SearchProgram:
    """The supernet with its two optimizers, compiled once for each batch size.

    The state is a dictionary of tensors on the device: `weights`, `statistics` and `accumulators` (of SGD) are vectors;
    `architecture`, `first_moments` and `second_moments` (of Adam) are dictionaries of raw alphas [edges, operators] and
    betas [layers, levels, 3].

    Args:
      config: configuration of the search.
      num_classes: number of classes of the labels.
      ignore_label: label of unlabelled pixels.
      num_steps: number of weight steps in the whole search, which limits the span of the moving averages.
    """

    def __init__(self, config: AutoDeepLabConfig, num_classes: int, ignore_label: int, num_steps: int):
        self.config = config
        self.num_classes = num_classes
        self.ignore_label = ignore_label
        self.supernet = Supernet(
            num_classes,
            config.num_layers,
            config.num_blocks,
            config.filter_multiplier,
            config.stem_filters,
            config.supernet_precision,
            config.rematerialize,
            config.stem_layers,
        )
        self._exists = edge_mask(config.num_layers)
        self._decay = limited_decay(HEAD_BATCH_NORM_DECAY, num_steps)
        self._loss = SegmentationLoss(ignore_label)
        self._weight_step = compiled(self._trained_weights, reused=(0, 1, 2))
        self._architecture_step = compiled(self._trained_architecture)
        self._confusion = compiled(self._counted)

    def initial_state(self) -> State:
        """Returns the state before the first step, which is the same on every backend."""
        seed = self.config.seed
        weights = initial_weights(named_shapes(self.supernet.weight_shapes), seed)
        architecture = initial_architecture(self.supernet, seed)
        zeros = {name: np.zeros_like(values) for name, values in architecture.items()}
        state = {
            "weights": weights,
            "statistics": initial_statistics(named_shapes(self.supernet.statistics_shapes)),
            "accumulators": np.zeros_like(weights),
            "architecture": architecture,
            "first_moments": zeros,
            "second_moments": zeros,
        }
        placed: State = on_device(state)
        return placed

    def mixtures(self, state: State) -> dict[str, Any]:
        """Returns the probabilities for the state's alphas and betas."""
        return mixtures(state["architecture"], self._exists)

    def train_weights(
        self, state: State, images: Any, labels: Any, rate: float, mixtures: dict[str, Any] | None = None
    ) -> tuple[State, Any]:
        """Returns the state after a step of SGD on the weights, and the loss, a float32 scalar without weight decay.

        Args:
          state: state before the step; its weights, statistics and accumulators must not be read afterwards.
          images: images, float32 [batch, height, width, 3] in 0..255.
          labels: class ids, int32 [batch, height, width].
          rate: learning rate.
          mixtures: probabilities to use instead of those of the state.
        """
        mixed = self.mixtures(state) if mixtures is None else mixtures
        rate = ops.convert_to_tensor(rate, dtype="float32")
        batch = (ops.convert_to_tensor(images), ops.convert_to_tensor(labels))
        weights, statistics, accumulators, loss = self._weight_step(
            state["weights"], state["statistics"], state["accumulators"], mixed, *batch, rate
        )
        return {**state, "weights": weights, "statistics": statistics, "accumulators": accumulators}, loss

    def train_architecture(self, state: State, images: Any, labels: Any, step: int) -> tuple[State, Any]:
        """Returns the state after a step of Adam on alphas and betas, and the loss.

        Args:
          state: state before the step.
          images, labels: batch of half B, in the format of `train_weights`.
          step: number of architecture steps before this one.
        """
        own = {name: state[name] for name in ("architecture", "first_moments", "second_moments")}
        count = ops.convert_to_tensor(step + 1, dtype="float32")
        batch = (ops.convert_to_tensor(images), ops.convert_to_tensor(labels))
        updated, loss = self._architecture_step(own, state["weights"], *batch, count)
        return {**state, **updated}, loss

    def confusion(self, state: State, images: Any, labels: Any, mixtures: dict[str, Any] | None = None) -> np.ndarray:
        """Returns the number of labelled pixels by label and prediction, int64 [classes, classes], with the moving
        statistics.

        Args:
          state: state whose weights are scored.
          images, labels: batch in the format of `train_weights`.
          mixtures: probabilities to use instead of those of the state.
        """
        mixed = self.mixtures(state) if mixtures is None else mixtures
        batch = (ops.convert_to_tensor(images), ops.convert_to_tensor(labels))
        counts = self._confusion(state["weights"], state["statistics"], mixed, *batch)
        confusion: np.ndarray = ops.convert_to_numpy(counts).astype("int64")
        return confusion

    def _loss_of(self, weights: Any, mixed: dict[str, Any], images: Any, labels: Any) -> tuple[Any, Any]:
        logits, found = self.supernet(weights, mixed[ALPHAS], mixed[BETAS], images)
        return self._loss(labels, logits), found

    def _trained_weights(
        self, weights: Any, statistics: Any, accumulators: Any, mixed: Any, images: Any, labels: Any, rate: Any
    ) -> tuple[Any, Any, Any, Any]:
        (loss, found), gradient = value_and_gradient(self._loss_of)(weights, mixed, images, labels)
        config, decay = self.config, self._decay
        accumulators = config.weight_momentum * accumulators + gradient + config.weight_decay * weights
        statistics = decay * statistics + (1.0 - decay) * found
        return weights - rate * accumulators, statistics, accumulators, loss

    def _trained_architecture(
        self, own: dict[str, Any], weights: Any, images: Any, labels: Any, count: Any
    ) -> tuple[dict[str, Any], Any]:
        def loss_of(architecture: dict[str, Any]) -> tuple[Any, Any]:
            return self._loss_of(weights, mixtures(architecture, self._exists), images, labels)

        (loss, _), gradient = value_and_gradient(loss_of)(own["architecture"])
        config = self.config
        updated: dict[str, Any] = {name: {} for name in own}
        for name, raw in own["architecture"].items():
            decayed = gradient[name] + config.architecture_weight_decay * raw
            moments = []
            for part, power, decay in zip(("first_moments", "second_moments"), (1, 2), ADAM_DECAYS, strict=True):
                moment = decay * own[part][name] + (1.0 - decay) * decayed**power
                updated[part][name] = moment
                moments.append(moment / (1.0 - ops.power(decay, count)))
            step = moments[0] / (ops.sqrt(moments[1]) + ADAM_EPSILON)
            updated["architecture"][name] = raw - config.architecture_learning_rate * step
        return updated, loss

    def _counted(self, weights: Any, statistics: Any, mixed: Any, images: Any, labels: Any) -> Any:
        logits, _ = self.supernet(weights, mixed[ALPHAS], mixed[BETAS], images, statistics)
        return confusion(logits, labels, self.num_classes, self.ignore_label)


def initial_architecture(supernet: Supernet, seed: int) -> dict[str, np.ndarray]:
    """Returns raw alphas [edges, operators] and betas [layers, levels, 3]: 1e-3 times normal numbers, 0 where absent.

    The beta [l, k, i] is of the connection from level k of layer l, where layer 0 is the stem, to level k + i - 1 of
    layer l + 1.
    """
    rng = np.random.default_rng([seed, *b"architecture"])
    exists = edge_mask(supernet.num_layers)
    alphas = INITIAL_STDDEV * rng.standard_normal((len(edge_rows(supernet.num_blocks)), len(OPERATORS)))
    betas = INITIAL_STDDEV * rng.standard_normal(exists.shape) * exists
    return {ALPHAS: alphas.astype("float32"), BETAS: betas.astype("float32")}


def mixtures(architecture: dict[str, Any], exists: np.ndarray) -> dict[str, Any]:
    """Returns the probabilities of the operators of each edge, and of the connections that leave each node.

    Args:
      architecture: raw alphas and betas.
      exists: bool [layers, levels, 3], see decoding.edge_mask; absent connections have probability 0, and so have all
        that leave a node which does not exist.
    """
    raw = ops.where(exists, architecture[BETAS], ABSENT)
    return {
        ALPHAS: ops.softmax(architecture[ALPHAS], axis=-1),
        BETAS: ops.where(exists, ops.softmax(raw, axis=-1), 0.0),
    }


def on_device(state: Any) -> Any:
    """Returns the state of arrays as tensors with memory of their own."""
    return keras.tree.map_structure(lambda array: ops.convert_to_tensor(np.asarray(array)), state)
