"""The optimizers of the published training, and its scaling of the gradients of single variables.

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
    """SGD with momentum as in TensorFlow 1, with the learning rate outside the accumulator:

        accumulator = momentum * accumulator + gradient
        variable = variable - rate * accumulator

    A falling rate therefore also reduces the contribution of earlier gradients, unlike in keras.optimizers.SGD.

    Args:
      learning_rate: learning rate, a number or a schedule.
      momentum: decay of the accumulator, in [0, 1).

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

    AdamW applies weight decay itself, only to the variables that `is_decayed` selects; with the other optimizers the
    decay is part of the gradient.

    Args:
      config: training configuration.
      schedule: schedule of the learning rate.
      variables: variables that are trained.
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
    """Returns whether the published weight decay applies to a variable: to every kernel, but to a depthwise kernel only
    if its name says so.
    """
    return variable.path.rsplit("/", 1)[-1] in ("kernel", "pointwise_kernel", "decayed_depthwise_kernel")


def gradient_multipliers(
    network: Segmenter, last_layer_gradient_multiplier: float, last_layers_contain_logits_only: bool
) -> list[float]:
    """Returns the factor of the gradient of each of network.trainable_variables, weight decay included.

    It is 2 for biases, times `last_layer_gradient_multiplier` in the last layers, batch norm included.

    Args:
      network: network whose variables exist.
      last_layer_gradient_multiplier: factor for the last layers.
      last_layers_contain_logits_only: bool, whether the last layers are only the logits, or also the context module and
        decoder. A decoder whose output is the logits counts as the logits.
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
