"""Convolution blocks of DeepLab: convolution, batch norm, activation. The variables are nested as the published names
are.

Unequal rates come from arXiv:1809.04184, Sec. 3.1. Separable convolutions are in separable_conv.py.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from deeplab_dpc.arch.cost import Cost, conv_cost, depthwise_cost
from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.normalization import BatchNorm
from deeplab_dpc.layers.types import Shape, Side, Tensor

QUANTIZED_SIGMOID_SLOPE = 0.16667  # one sixth, rounded as in the training of the published models


def quantized_sigmoid(x: Any) -> Any:
    """Returns relu6(x + 3) / 6, with the published constant (MobileNetV3, arXiv:1905.02244, Sec. 5.2)."""
    return ops.relu6(x + 3.0) * QUANTIZED_SIGMOID_SLOPE


def named_activation(name: str | None) -> Callable[[Any], Any]:
    """Returns the activation of that name: 'quantized_sigmoid', a Keras name, or None for none."""
    return quantized_sigmoid if name == "quantized_sigmoid" else keras.activations.get(name)


def _require_positive(**values: int) -> None:
    for label, value in values.items():
        if value < 1:
            raise ValueError(f"`{label}` must be >= 1, got {value}.")


def multiply_kernel(kernel: keras.Variable, scale: np.ndarray) -> None:
    """Multiplies a kernel by factors in place, in float64."""
    kernel.assign(ops.convert_to_numpy(kernel).astype("float64") * scale)


class NormalizedConv(keras.layers.Layer):
    """The base class of the convolution blocks: padding, no bias, batch norm, and an activation given by name.

    The batch norm's variables are below `batch_norm_scope`; a scope that begins with two dots is beside the block's own
    scope in published checkpoints (checkpoint/names.py).
    """

    def __init__(
        self,
        kernel_size: int,
        strides: int = 1,
        rate: tuple[int, int] = (1, 1),
        activation: str | None = "relu",
        explicit_padding: bool = False,
        batch_norm_decay: float = 0.9997,
        batch_norm_epsilon: float = 1e-5,
        initializer: Any = "glorot_uniform",
        batch_norm_scope: str = "BatchNorm",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.supports_jit = kernels.JIT_COMPILE  # read by `fit` before it compiles
        _require_positive(kernel_size=kernel_size, strides=strides)
        if len(rate) != 2 or min(rate) < 1:
            raise ValueError(f"`rate` must be (rate_h, rate_w), each >= 1, got {rate}.")
        if strides > 1 and max(rate) > 1:
            raise ValueError(f"`rate` above 1 needs strides 1, got rate {rate} with strides {strides}.")
        self.kernel_size = kernel_size
        self.strides = strides
        self.rate = (int(rate[0]), int(rate[1]))
        self.activation = activation
        self.explicit_padding = explicit_padding
        self.batch_norm_decay = batch_norm_decay
        self.batch_norm_epsilon = batch_norm_epsilon
        self.initializer = keras.initializers.get(initializer)
        self._activate = named_activation(activation)
        self.batch_norm_scope = batch_norm_scope
        self.batch_norm = BatchNorm(
            batch_norm_decay, batch_norm_epsilon, name=batch_norm_scope, dtype=self.dtype_policy
        )

    def _padded(self, inputs: Tensor) -> tuple[Tensor, str]:
        """Returns the inputs, padded where necessary, and the padding mode that remains for the convolution."""
        if self.strides == 1 or not self.explicit_padding:
            return inputs, "same"
        before = (self.kernel_size - 1) // 2
        sides = (before, self.kernel_size - 1 - before)
        return ops.pad(inputs, ((0, 0), sides, sides, (0, 0))), "valid"

    def _normalize(self, x: Tensor, training: bool) -> Tensor:
        return self._activate(self.batch_norm(x, training=training))

    def fold_batch_norm(self) -> None:
        """Multiplies batch norm into the kernel, for inference only; the result is equal except for rounding."""
        raise NotImplementedError

    def _output_side(self, side: Side) -> Side:
        return None if side is None else -(-side // self.strides)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "rate": self.rate,
            "activation": self.activation,
            "explicit_padding": self.explicit_padding,
            "batch_norm_decay": self.batch_norm_decay,
            "batch_norm_epsilon": self.batch_norm_epsilon,
            "initializer": keras.initializers.serialize(self.initializer),
            "batch_norm_scope": self.batch_norm_scope,
        }


class FilteredConv(NormalizedConv):
    """The part that is common to convolutions to a given number of channels.

    Args:
      filters: output channels, >= 1.

    The other arguments are those of NormalizedConv.

    Raises:
      ValueError: if filters is less than 1, or as NormalizedConv.
    """

    def __init__(self, filters: int, kernel_size: int, **kwargs: Any):
        super().__init__(kernel_size, **kwargs)
        _require_positive(filters=filters)
        self.filters = filters

    def compute_output_shape(self, input_shape: tuple[Side, ...]) -> tuple[Side, ...]:
        batch, height, width, _ = input_shape
        return (batch, self._output_side(height), self._output_side(width), self.filters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters}


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class ConvBN(FilteredConv):
    """Convolution, batch norm and activation: [batch, height, width, channels] -> [batch, h, w, filters].

    Args:
      filters: output channels, >= 1.
      kernel_size: side of the square kernel.
      strides: strides of the convolution along both axes.
      rate: (rate_h, rate_w) in feature-map cells, each >= 1; only 1 with strides > 1.
      activation: 'relu', 'relu6', ... (see named_activation), or None.
      explicit_padding: bool, whether strides > 1 pad (kernel_size - 1) / 2 on each side, as ResNet and Xception do;
        SAME padding differs from it where a side is even.
      batch_norm_decay, batch_norm_epsilon: see BatchNorm.
      initializer: initializer of the kernel.
      batch_norm_scope: see NormalizedConv.

    Raises:
      ValueError: if filters, kernel_size, strides or a rate is less than 1, or rate and strides are both above 1.
    """

    def __init__(self, filters: int, kernel_size: int = 1, **kwargs: Any):
        super().__init__(filters, kernel_size, **kwargs)

    def build(self, input_shape: Shape) -> None:
        shape = (self.kernel_size, self.kernel_size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(shape=shape, initializer=self.initializer, name="kernel")
        self.batch_norm.build((*input_shape[:-1], self.filters))

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        inputs, padding = self._padded(inputs)
        x = ops.conv(inputs, self.kernel, strides=self.strides, padding=padding, dilation_rate=self.rate)
        return self._normalize(x, training)

    def fold_batch_norm(self) -> None:
        multiply_kernel(self.kernel, self.batch_norm.fold())

    def cost(self, input_shape: Any) -> Cost:
        """Returns the parameters and multiply-adds for an input of that shape."""
        _, height, width, _ = self.compute_output_shape(input_shape)
        return conv_cost(self.kernel_size, input_shape[-1], self.filters, height, width)


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class DepthwiseConvBN(NormalizedConv):
    """Atrous depthwise convolution, batch norm and activation: [batch, height, width, channels] -> [batch, h, w,
    channels].

    The arguments are those of ConvBN, except for `filters`.

    Raises:
      ValueError: as ConvBN.
    """

    def __init__(self, rate: tuple[int, int] = (1, 1), kernel_size: int = 3, **kwargs: Any):
        super().__init__(kernel_size, rate=rate, **kwargs)

    def build(self, input_shape: Shape) -> None:
        self.depthwise_kernel = self.add_weight(
            shape=(self.kernel_size, self.kernel_size, input_shape[-1], 1),
            initializer=self.initializer,
            name="depthwise_kernel",
        )
        self.batch_norm.build(input_shape)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        inputs, padding = self._padded(inputs)
        kernel = ops.convert_to_tensor(self.depthwise_kernel)
        return self._normalize(kernels.depthwise_conv(inputs, kernel, self.strides, self.rate, padding), training)

    def compute_output_shape(self, input_shape: tuple[Side, ...]) -> tuple[Side, ...]:
        batch, height, width, channels = input_shape
        return (batch, self._output_side(height), self._output_side(width), channels)

    def fold_batch_norm(self) -> None:
        multiply_kernel(self.depthwise_kernel, self.batch_norm.fold()[:, np.newaxis])

    def cost(self, input_shape: Any) -> Cost:
        """Returns the parameters and multiply-adds for an input of that shape."""
        _, height, width, channels = self.compute_output_shape(input_shape)
        return depthwise_cost(self.kernel_size, channels, height, width)


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class BiasedConv(keras.layers.Layer):
    """Convolution with bias, SAME padding and activation: [batch, height, width, channels] -> [batch, h, w, filters].

    Args:
      filters: output channels, >= 1.
      kernel_size: side of the square kernel.
      activation: name of the activation, see ConvBN.
      initializer: initializer of the kernel.

    Raises:
      ValueError: if filters or kernel_size is less than 1.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 1,
        activation: str | None = None,
        initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        _require_positive(filters=filters, kernel_size=kernel_size)
        self.filters = filters
        self.kernel_size = kernel_size
        self.activation = activation
        self.initializer = keras.initializers.get(initializer)
        self._activate = named_activation(activation)

    def build(self, input_shape: Shape) -> None:
        shape = (self.kernel_size, self.kernel_size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(shape=shape, initializer=self.initializer, name="kernel")
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        return self._activate(ops.conv(inputs, self.kernel, padding="same") + self.bias)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.filters)

    def cost(self, input_shape: Any) -> Cost:
        """Returns the parameters and multiply-adds for an input of that shape."""
        _, height, width, channels = input_shape
        return conv_cost(self.kernel_size, channels, self.filters, height, width, batch_norm=False)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "activation": self.activation,
            "initializer": keras.initializers.serialize(self.initializer),
        }
