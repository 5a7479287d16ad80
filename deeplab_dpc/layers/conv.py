"""Convolution blocks of DeepLab: convolution, batch norm, activation; variables carry the published names' structure.

Sources: atrous separable convolution, arXiv:1802.02611, Sec. 3.1; unequal rates, arXiv:1809.04184, Sec. 3.1.
"""

from typing import Any

import keras
from keras import ops

from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.normalization import BatchNorm


class _NormalizedConv(keras.layers.Layer):
    """What the convolution blocks share: SAME padding, no bias, batch norm, an activation by its Keras name."""

    def __init__(
        self,
        kernel_size: int,
        strides: int = 1,
        activation: str | None = "relu",
        batch_norm_decay: float = 0.9997,
        batch_norm_epsilon: float = 1e-5,
        initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        for label, value in (("kernel_size", kernel_size), ("strides", strides)):
            if value < 1:
                raise ValueError(f"`{label}` must be >= 1, got {value}.")
        self.kernel_size = kernel_size
        self.strides = strides
        self.activation = activation
        self.batch_norm_decay = batch_norm_decay
        self.batch_norm_epsilon = batch_norm_epsilon
        self.initializer = keras.initializers.get(initializer)
        self._activate = keras.activations.get(activation)
        self.batch_norm = BatchNorm(batch_norm_decay, batch_norm_epsilon, name="BatchNorm", dtype=self.dtype_policy)

    def _normalize(self, x, training):
        return self._activate(self.batch_norm(x, training=training))

    def _output_side(self, side):
        return None if side is None else -(-side // self.strides)

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "activation": self.activation,
            "batch_norm_decay": self.batch_norm_decay,
            "batch_norm_epsilon": self.batch_norm_epsilon,
            "initializer": keras.initializers.serialize(self.initializer),
        }


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class ConvBN(_NormalizedConv):
    """[batch, height, width, channels] -> convolution -> batch norm -> activation -> [batch, h, w, filters].

    Args:
      filters: output channels, >= 1.
      kernel_size: side of the square kernel.
      strides: of the convolution, both axes.
      activation: Keras name ('relu', 'relu6'), or None.
      batch_norm_decay, batch_norm_epsilon: see BatchNorm.
      initializer: of the kernel.

    Raises:
      ValueError: if filters, kernel_size or strides is less than 1.
    """

    def __init__(self, filters: int, kernel_size: int = 1, **kwargs: Any):
        super().__init__(kernel_size, **kwargs)
        if filters < 1:
            raise ValueError(f"`filters` must be >= 1, got {filters}.")
        self.filters = filters

    def build(self, input_shape):
        shape = (self.kernel_size, self.kernel_size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(shape=shape, initializer=self.initializer, name="kernel")
        self.batch_norm.build((*input_shape[:-1], self.filters))

    def call(self, inputs, training=False):
        x = ops.conv(inputs, self.kernel, strides=self.strides, padding="same")
        return self._normalize(x, training)

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        return (batch, self._output_side(height), self._output_side(width), self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class DepthwiseConvBN(_NormalizedConv):
    """[batch, height, width, channels] -> atrous depthwise convolution -> batch norm -> activation.

    Args:
      rate: (rate_h, rate_w) in feature-map cells, each >= 1; only 1 with strides > 1.

    The other arguments are those of ConvBN.

    Raises:
      ValueError: if a rate is less than 1, or above 1 together with a stride above 1.
    """

    def __init__(self, rate: tuple[int, int] = (1, 1), kernel_size: int = 3, **kwargs: Any):
        super().__init__(kernel_size, **kwargs)
        if len(rate) != 2 or min(rate) < 1:
            raise ValueError(f"`rate` must be (rate_h, rate_w), each >= 1, got {rate}.")
        if self.strides > 1 and max(rate) > 1:
            raise ValueError(f"`rate` above 1 needs strides 1, got rate {rate} with strides {self.strides}.")
        self.rate = (int(rate[0]), int(rate[1]))

    def build(self, input_shape):
        self.depthwise_kernel = self.add_weight(
            shape=(self.kernel_size, self.kernel_size, input_shape[-1], 1),
            initializer=self.initializer,
            name="depthwise_kernel",
        )
        self.batch_norm.build(input_shape)

    def call(self, inputs, training=False):
        x = kernels.depthwise_conv(inputs, ops.convert_to_tensor(self.depthwise_kernel), self.strides, self.rate)
        return self._normalize(x, training)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, self._output_side(height), self._output_side(width), channels)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class SplitSeparableConvBN(keras.layers.Layer):
    """Atrous separable convolution, split: depthwise 3x3, BN, ReLU, pointwise 1x1, BN, ReLU.

    [batch, height, width, channels] -> [batch, height, width, filters]

    Args:
      filters: output channels.
      rate: (rate_h, rate_w) in feature-map cells.
      batch_norm_decay, batch_norm_epsilon: see BatchNorm.

    Raises:
      ValueError: if filters or a rate is less than 1.
    """

    DEPTHWISE_STDDEV = 0.33  # truncated normal, as published
    POINTWISE_STDDEV = 0.06

    def __init__(
        self,
        filters: int,
        rate: tuple[int, int] = (1, 1),
        batch_norm_decay: float = 0.9997,
        batch_norm_epsilon: float = 1e-5,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.rate = (int(rate[0]), int(rate[1]))
        self.batch_norm_decay = batch_norm_decay
        self.batch_norm_epsilon = batch_norm_epsilon
        shared = {
            "batch_norm_decay": batch_norm_decay,
            "batch_norm_epsilon": batch_norm_epsilon,
            "dtype": self.dtype_policy,
        }
        self.depthwise = DepthwiseConvBN(
            self.rate,
            initializer=keras.initializers.TruncatedNormal(stddev=self.DEPTHWISE_STDDEV),
            name=f"{self.name}_depthwise",
            **shared,
        )
        self.pointwise = ConvBN(
            filters,
            initializer=keras.initializers.TruncatedNormal(stddev=self.POINTWISE_STDDEV),
            name=f"{self.name}_pointwise",
            **shared,
        )

    def build(self, input_shape):
        self.depthwise.build(input_shape)
        self.pointwise.build(input_shape)

    def call(self, inputs, training=False):
        return self.pointwise(self.depthwise(inputs, training=training), training=training)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "rate": self.rate,
            "batch_norm_decay": self.batch_norm_decay,
            "batch_norm_epsilon": self.batch_norm_epsilon,
        }
