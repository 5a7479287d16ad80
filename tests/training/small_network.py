"""A network whose steps compile in seconds, for the scripts that test_distribution.py runs."""

import keras

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.layers.dropout import Dropout
from deeplab_dpc.models.backbones.mobilenet_v2 import MobileNetV2

XLA_FLAGS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"  # half the time to compile


def model_config(num_classes: int) -> ModelConfig:
    """Four of MobileNetV2's units, one of them residual; and no dropout, whose masks may differ."""
    MobileNetV2.BLOCKS = tuple(MobileNetV2.BLOCKS[i] for i in (1, 2, 3, 6))
    MobileNetV2.LAST_FILTERS = None
    MobileNetV2.LOW_LEVEL = {}  # of the units that are left; there is no decoder
    Dropout.call = lambda self, inputs, training=False: inputs
    return ModelConfig(num_classes=num_classes, depth_multiplier=0.1, dense_prediction_cell=load_cell("conv1x1"))


class ZeroInitializer(keras.initializers.Initializer):
    """For variables that are assigned: JAX would compile the random values of each shape."""

    def __call__(self, shape, dtype=None, **kwargs):
        return keras.ops.zeros(shape, dtype)
