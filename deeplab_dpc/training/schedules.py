"""The published learning rates: poly (arXiv:1606.00915, Sec. 4.1), step and cosine, after a slow start.

The learning rate of a training that ends early falls to zero, as in the published schedules.

Source: tensorflow/models, research/deeplab/utils/train_utils.py.
"""

from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import CosineDecay, LearningRateSchedule

from deeplab_dpc.config import TrainConfig
from deeplab_dpc.layers.types import Tensor
from deeplab_dpc.training.early_end import Ending

SMALLEST = 1e-12  # Under XLA 0 ** 0.9 is not finite, and 1 - step / steps may be just below 0.


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class PolySchedule(LearningRateSchedule):
    """Poly schedule: rate = end + (base - end) * (1 - step / steps) ** power, and `end` from the last step on.

    Args:
      base_learning_rate: learning rate at step 0.
      training_number_of_steps: number of steps until the end, >= 1.
      learning_power: exponent of the share of steps that remain.
      end_learning_rate: learning rate at the end.

    Raises:
      ValueError: if there are no steps.
    """

    def __init__(
        self,
        base_learning_rate: float,
        training_number_of_steps: int,
        learning_power: float = 0.9,
        end_learning_rate: float = 0.0,
    ):
        if training_number_of_steps < 1:
            raise ValueError(f"`training_number_of_steps` must be >= 1, got {training_number_of_steps}.")
        self.base_learning_rate = base_learning_rate
        self.training_number_of_steps = training_number_of_steps
        self.learning_power = learning_power
        self.end_learning_rate = end_learning_rate

    def __call__(self, step: Tensor) -> Tensor:
        step = ops.cast(step, "float32")
        remaining = ops.maximum(1.0 - step / self.training_number_of_steps, SMALLEST)
        rate = self.end_learning_rate + (self.base_learning_rate - self.end_learning_rate) * (
            remaining**self.learning_power
        )
        return ops.where(step < self.training_number_of_steps, rate, self.end_learning_rate)

    def get_config(self) -> dict[str, Any]:
        return {
            "base_learning_rate": self.base_learning_rate,
            "training_number_of_steps": self.training_number_of_steps,
            "learning_power": self.learning_power,
            "end_learning_rate": self.end_learning_rate,
        }


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class StepSchedule(LearningRateSchedule):
    """Step schedule: rate = base * factor ** (step // decay_step).

    The division is an integer division: with the floating-point division of Keras' ExponentialDecay, the rate sometimes
    falls a step late under XLA.

    Args:
      base_learning_rate: learning rate at step 0.
      learning_rate_decay_step: number of steps between decays, >= 1.
      learning_rate_decay_factor: factor of each decay.

    Raises:
      ValueError: if there are no steps between decays.
    """

    def __init__(
        self, base_learning_rate: float, learning_rate_decay_step: int, learning_rate_decay_factor: float = 0.1
    ):
        if learning_rate_decay_step < 1:
            raise ValueError(f"`learning_rate_decay_step` must be >= 1, got {learning_rate_decay_step}.")
        self.base_learning_rate = base_learning_rate
        self.learning_rate_decay_step = learning_rate_decay_step
        self.learning_rate_decay_factor = learning_rate_decay_factor

    def __call__(self, step: Tensor) -> Tensor:
        falls = ops.floor_divide(ops.cast(step, "int32"), self.learning_rate_decay_step)
        return self.base_learning_rate * ops.power(self.learning_rate_decay_factor, ops.cast(falls, "float32"))

    def get_config(self) -> dict[str, Any]:
        return {
            "base_learning_rate": self.base_learning_rate,
            "learning_rate_decay_step": self.learning_rate_decay_step,
            "learning_rate_decay_factor": self.learning_rate_decay_factor,
        }


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class SlowStart(LearningRateSchedule):
    """A low rate until `slow_start_step`, at which `schedule` begins with its step 0.

    Args:
      schedule: schedule that follows.
      slow_start_step: number of steps of the slow start, >= 1.
      slow_start_learning_rate: learning rate at step 0.
      linear: bool, whether the rate rises linearly to the first rate of `schedule`; otherwise it is constant.

    Raises:
      ValueError: if the slow start has no step.
    """

    def __init__(
        self,
        schedule: LearningRateSchedule,
        slow_start_step: int,
        slow_start_learning_rate: float,
        linear: bool = False,
    ):
        if slow_start_step < 1:
            raise ValueError(f"`slow_start_step` must be >= 1, got {slow_start_step}.")
        self.schedule = schedule
        self.slow_start_step = slow_start_step
        self.slow_start_learning_rate = slow_start_learning_rate
        self.linear = linear

    def __call__(self, step: Tensor) -> Tensor:
        step = ops.cast(step, "float32")
        slow = self.slow_start_learning_rate
        if self.linear:
            slow += (self.schedule(0) - slow) * step / self.slow_start_step
        after = self.schedule(ops.maximum(step - self.slow_start_step, 0.0))
        return ops.where(step < self.slow_start_step, slow, after)

    def get_config(self) -> dict[str, Any]:
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "slow_start_step": self.slow_start_step,
            "slow_start_learning_rate": self.slow_start_learning_rate,
            "linear": self.linear,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "SlowStart":
        return cls(**{**config, "schedule": keras.saving.deserialize_keras_object(config["schedule"])})


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class EarlyEnd(LearningRateSchedule):
    """A schedule until a step, from which its rate falls linearly to zero.

    Args:
      schedule: the schedule until `start`.
      start: step from which the rate falls.
      end: step at which the rate is zero, > start.

    Raises:
      ValueError: if the end is not after the start.
    """

    def __init__(self, schedule: LearningRateSchedule, start: int, end: int):
        if end <= start:
            raise ValueError(f"`end` must be > `start`, got {end} and {start}.")
        self.schedule = schedule
        self.start = start
        self.end = end

    def __call__(self, step: Tensor) -> Tensor:
        step = ops.cast(step, "float32")
        share = ops.clip((self.end - step) / (self.end - self.start), 0.0, 1.0)
        return self.schedule(ops.minimum(step, float(self.start))) * share

    def get_config(self) -> dict[str, Any]:
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "start": self.start,
            "end": self.end,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "EarlyEnd":
        return cls(**{**config, "schedule": keras.saving.deserialize_keras_object(config["schedule"])})


def build_schedule(config: TrainConfig, ending: Ending | None = None) -> LearningRateSchedule:
    """Returns the schedule of a training configuration.

    Args:
      config: the training configuration.
      ending: early end of the training; None if it has none.
    """
    schedule = _whole_schedule(config)
    return schedule if ending is None else EarlyEnd(schedule, ending.start, ending.end)


def _whole_schedule(config: TrainConfig) -> LearningRateSchedule:
    base, end = config.base_learning_rate, config.end_learning_rate
    steps = max(config.training_number_of_steps - config.slow_start_step, 1)
    schedule: LearningRateSchedule
    if config.learning_policy == "step":
        schedule = StepSchedule(base, config.learning_rate_decay_step, config.learning_rate_decay_factor)
    elif config.learning_policy == "cosine":
        schedule = CosineDecay(base, steps, alpha=end / base)
    else:
        schedule = PolySchedule(base, steps, config.learning_power, end)
    if not config.slow_start_step:
        return schedule
    burnin = config.slow_start_burnin_type or ("linear" if config.learning_policy == "cosine" else "none")
    return SlowStart(schedule, config.slow_start_step, config.slow_start_learning_rate, linear=burnin == "linear")
