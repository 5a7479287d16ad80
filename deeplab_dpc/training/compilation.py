"""Compiling a model for training: optimizer, weight decay, loss, and the form that suits the backend."""

import keras

from deeplab_dpc.layers import kernels
from deeplab_dpc.training.losses import SegmentationLoss


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
    ignore_label: int,
) -> None:
    """Compiles with SGD and momentum, the published weight decay and the segmentation loss."""
    apply_weight_decay(model, weight_decay)
    model.compile(
        optimizer=keras.optimizers.SGD(schedule, momentum=momentum),
        loss=SegmentationLoss(ignore_label),
        jit_compile=kernels.JIT_COMPILE,
    )
