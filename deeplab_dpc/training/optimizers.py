"""The optimizers of the published training, and how it scales the gradients of single variables.

Source: tensorflow/models, research/deeplab (train.py and utils/train_utils.py).
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from deeplab_dpc.checkpoint.names import published_name
from deeplab_dpc.checkpoint.network_flags import BACKBONE, DECODER, LOGITS, module_of
from deeplab_dpc.config import TrainConfig
from deeplab_dpc.layers.types import Tensor
from deeplab_dpc.models.segmenter import Segmenter

BIAS_MULTIPLIER = 2.0


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class MomentumSGD(keras.optimizers.Optimizer):
    """Momentum as TensorFlow 1 has it, with the rate outside the accumulator:

        accumulator = momentum * accumulator + gradient
        variable = variable - rate * accumulator

    A falling rate therefore also shortens the steps that earlier gradients left, unlike in keras.optimizers.SGD.

    Args:
      learning_rate: a number or a schedule.
      momentum: in [0, 1).

    Raises:
      ValueError: if the momentum is out of that range.
    """

    def __init__(self, learning_rate: Any = 0.01, momentum: float = 0.9, **kwargs: Any):
        super().__init__(learning_rate=learning_rate, **kwargs)
        if not 0.0 <= momentum < 1.0:
            raise ValueError(f"`momentum` must be in [0, 1), got {momentum}.")
        self.momentum = momentum

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self.accumulators = self.add_optimizer_variables(variables, "accumulator")

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        accumulator = self.accumulators[self._get_variable_index(variable)]
        self.assign(accumulator, accumulator * self.momentum + ops.cast(gradient, variable.dtype))
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * accumulator)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum}


def build_optimizer(
    config: TrainConfig, schedule: keras.optimizers.schedules.LearningRateSchedule, variables: Sequence[keras.Variable]
) -> keras.optimizers.Optimizer:
    """Returns the optimizer of a training configuration; with float16 it scales the loss.

    AdamW decays by itself, and only the variables that `is_decayed` names; the others leave that to the gradient.

    Args:
      config: the protocol.
      schedule: schedule of the learning rate.
      variables: that are trained.
    """
    optimizer: keras.optimizers.Optimizer
    if config.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay, epsilon=config.adam_epsilon)
        optimizer.exclude_from_weight_decay([variable for variable in variables if not is_decayed(variable)])
    elif config.optimizer == "adam":
        optimizer = keras.optimizers.Adam(schedule, epsilon=config.adam_epsilon)
    else:
        optimizer = MomentumSGD(schedule, config.momentum)
    return keras.optimizers.LossScaleOptimizer(optimizer) if config.precision == "float16" else optimizer


def is_decayed(variable: keras.Variable) -> bool:
    """Returns whether the published weight decay holds for a variable: every kernel, but not all depthwise ones."""
    return variable.path.rsplit("/", 1)[-1] in ("kernel", "pointwise_kernel", "decayed_depthwise_kernel")


def gradient_multipliers(
    network: Segmenter, last_layer_gradient_multiplier: float, last_layers_contain_logits_only: bool
) -> list[float]:
    """Returns what the gradient of each of network.trainable_variables, weight decay included, is multiplied by.

    It is 2 for biases, times `last_layer_gradient_multiplier` in the last layers, batch norm included.

    Args:
      network: whose variables exist.
      last_layer_gradient_multiplier: last layer gradient multiplier of the last layers.
      last_layers_contain_logits_only: whether these are the logits alone, or the context module and decoder too. A
        decoder whose output is the logits is the logits.
    """

    multipliers = []
    for variable in network.trainable_variables:
        name = published_name(variable.path)
        part = module_of(name, network.backbone.name)
        is_logits = part == LOGITS or (part == DECODER and network.config.decoder_output_is_logits)
        is_last = is_logits or (part != BACKBONE and not last_layers_contain_logits_only)
        is_bias = name.endswith("/biases")
        multipliers.append((BIAS_MULTIPLIER if is_bias else 1.0) * (last_layer_gradient_multiplier if is_last else 1.0))
    return multipliers
