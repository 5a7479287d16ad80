"""The poly learning rate (arXiv:1606.00915, Sec. 4.1) with DeepLab's slow start."""

import keras
from keras import ops

from deeplab_dpc.config import TrainConfig


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class PolySchedule(keras.optimizers.schedules.LearningRateSchedule):
    """lr = base * (1 - (step - slow_start) / (total - slow_start)) ** power, 0 from the last step on.

    Before `slow_start_step` the rate is the constant `slow_start_learning_rate`.
    """

    def __init__(
        self,
        base_learning_rate: float,
        training_number_of_steps: int,
        learning_power: float = 0.9,
        slow_start_step: int = 0,
        slow_start_learning_rate: float = 1e-4,
    ):
        self.base_learning_rate = base_learning_rate
        self.training_number_of_steps = training_number_of_steps
        self.learning_power = learning_power
        self.slow_start_step = slow_start_step
        self.slow_start_learning_rate = slow_start_learning_rate

    def __call__(self, step):
        step = ops.cast(step, "float32")
        duration = max(self.training_number_of_steps - self.slow_start_step, 1)
        progress = ops.clip((step - self.slow_start_step) / duration, 0.0, 1.0)
        remaining = 1.0 - progress
        # Under XLA 0 ** 0.9 is not finite.
        rate = ops.where(
            remaining > 0.0, self.base_learning_rate * ops.maximum(remaining, 1e-12) ** self.learning_power, 0.0
        )
        return ops.where(step < self.slow_start_step, self.slow_start_learning_rate, rate)

    def get_config(self):
        return {
            "base_learning_rate": self.base_learning_rate,
            "training_number_of_steps": self.training_number_of_steps,
            "learning_power": self.learning_power,
            "slow_start_step": self.slow_start_step,
            "slow_start_learning_rate": self.slow_start_learning_rate,
        }


def build_schedule(config: TrainConfig) -> PolySchedule:
    """The schedule of a training configuration."""
    return PolySchedule(
        config.base_learning_rate,
        config.training_number_of_steps,
        config.learning_power,
        config.slow_start_step,
        config.slow_start_learning_rate,
    )
