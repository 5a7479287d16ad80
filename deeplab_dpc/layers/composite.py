"""The base class of layers made of other layers: their parts in order, and what is derived from them."""

from typing import Any

import keras

from deeplab_dpc.arch.cost import Cost, total_cost
from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.types import Shape


class Composite(keras.layers.Layer):
    """A layer made of layers that share their normalisation; building and counting need only its `steps`.

    Args:
      batch_norm_decay, batch_norm_epsilon: see BatchNorm.
    """

    def __init__(self, batch_norm_decay: float = 0.9997, batch_norm_epsilon: float = 1e-5, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_jit = kernels.JIT_COMPILE
        self.batch_norm_decay = batch_norm_decay
        self.batch_norm_epsilon = batch_norm_epsilon

    @property
    def shared_arguments(self) -> dict[str, Any]:
        """Returns the arguments that the convolutions of this layer have in common."""
        return {
            "batch_norm_decay": self.batch_norm_decay,
            "batch_norm_epsilon": self.batch_norm_epsilon,
            "dtype": self.dtype_policy,
        }

    def steps(self, input_shape: Any) -> list[tuple[Any, Any]]:
        """Returns the parts with variables, each with the shape of its input, in order."""
        raise NotImplementedError

    def build(self, input_shape: Any) -> None:
        for layer, shape in self.steps(input_shape):
            layer.build(shape)

    def cost(self, input_shape: Any) -> Cost:
        """Returns the parameters and multiply-adds for an input of that shape, [batch, height, width, channels]."""
        return total_cost(layer.cost(shape) for layer, shape in self.steps(input_shape))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "batch_norm_decay": self.batch_norm_decay,
            "batch_norm_epsilon": self.batch_norm_epsilon,
        }


def chained(layers: list[Any], input_shape: Shape) -> list[tuple[Any, Shape]]:
    """Returns the steps of a chain of layers, each of which reads the output of the one before."""
    steps = []
    for layer in layers:
        steps.append((layer, input_shape))
        input_shape = layer.compute_output_shape(input_shape)
    return steps


def chain_output_shape(layers: list[Any], input_shape: Shape) -> Shape:
    """Returns the output shape of a chain of layers, each of which reads the output of the one before."""
    for layer in layers:
        input_shape = layer.compute_output_shape(input_shape)
    return input_shape
