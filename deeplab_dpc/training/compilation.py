"""Compiling a model for training: optimizer, weight decay, and the form that suits the backend."""

from typing import Any

import keras

from deeplab_dpc.layers import kernels


def apply_weight_decay(model: keras.Model, weight_decay: float) -> None:
    """Adds weight_decay / 2 * |w|^2 for every convolution kernel but the depthwise ones, as published."""
    for variable in model.trainable_variables:
        if variable.path.rsplit("/", 1)[-1] == "kernel":
            variable.regularizer = keras.regularizers.L2(weight_decay / 2.0)


def compile_for_training(
    model: keras.Model,
    schedule: keras.optimizers.schedules.LearningRateSchedule,
    momentum: float,
    weight_decay: float,
    loss: Any = None,
) -> None:
    """Compiles with SGD and momentum, the published weight decay, and a loss unless the model has its own."""
    apply_weight_decay(model, weight_decay)
    model.compile(
        optimizer=keras.optimizers.SGD(schedule, momentum=momentum),
        loss=loss,
        jit_compile=kernels.JIT_COMPILE,
    )
