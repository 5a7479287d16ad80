"""Separable convolutions: split, with batch norm inside (arXiv:1802.02611, Sec. 3.1), and in one step
(arXiv:1901.02985).
"""

from typing import Any

import keras
from keras import ops

from deeplab_dpc.arch.cost import Cost, conv_cost, depthwise_cost
from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.composite import Composite
from deeplab_dpc.layers.conv import ConvBN, DepthwiseConvBN, FilteredConv, multiply_kernel
from deeplab_dpc.layers.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class SplitSeparableConvBN(Composite):
    """Atrous separable convolution, split: depthwise 3x3, BN, activation, pointwise 1x1, BN, activation.

    [batch, height, width, channels] -> [batch, h, w, filters]

    Example:
        import keras
        from deeplab_dpc.layers import SplitSeparableConvBN

        features = keras.Input((33, 33, 8))
        model = keras.Model(features, SplitSeparableConvBN(16, rate=(1, 6), batch_norm_decay=0.99)(features))

    Args:
      filters: output channels.
      rate: (rate_h, rate_w) in feature-map cells.
      strides, explicit_padding: strides and padding of the depthwise convolution, see ConvBN.
      activation: activation after each of the two convolutions; None for none.
      depthwise_stddev, pointwise_stddev: standard deviations of the truncated normal initialisation; the defaults are
        those of ASPP, the cell and the decoder.
      batch_norm_decay, batch_norm_epsilon: see BatchNorm.

    Raises:
      ValueError: as ConvBN.
    """

    def __init__(
        self,
        filters: int,
        rate: tuple[int, int] = (1, 1),
        strides: int = 1,
        explicit_padding: bool = False,
        activation: str | None = "relu",
        depthwise_stddev: float = 0.33,
        pointwise_stddev: float = 0.06,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.rate = (int(rate[0]), int(rate[1]))
        self.strides = strides
        self.explicit_padding = explicit_padding
        self.activation = activation
        self.depthwise_stddev = depthwise_stddev
        self.pointwise_stddev = pointwise_stddev
        shared = {**self.shared_arguments, "activation": activation}
        self.depthwise = DepthwiseConvBN(
            self.rate,
            strides=strides,
            explicit_padding=explicit_padding,
            initializer=keras.initializers.TruncatedNormal(stddev=depthwise_stddev),
            name=f"{self.name}_depthwise",
            **shared,
        )
        self.pointwise = ConvBN(
            filters,
            initializer=keras.initializers.TruncatedNormal(stddev=pointwise_stddev),
            name=f"{self.name}_pointwise",
            **shared,
        )

    def steps(self, input_shape: Shape) -> list[tuple[Any, Shape]]:
        return [(self.depthwise, input_shape), (self.pointwise, self.depthwise.compute_output_shape(input_shape))]

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        return self.pointwise(self.depthwise(inputs, training=training), training=training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*self.depthwise.compute_output_shape(input_shape)[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "rate": self.rate,
            "strides": self.strides,
            "explicit_padding": self.explicit_padding,
            "activation": self.activation,
            "depthwise_stddev": self.depthwise_stddev,
            "pointwise_stddev": self.pointwise_stddev,
        }


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class SeparableConvBN(FilteredConv):
    """Separable convolution in one step: depthwise and pointwise convolution, batch norm, activation.

    [batch, height, width, channels] -> [batch, h, w, filters]. Weight decay applies to both kernels in training, as
    published; it does not apply to the depthwise kernel of DepthwiseConvBN.

    Args:
      filters: output channels, >= 1.
      kernel_size: side of the depthwise kernel.

    The other arguments are those of ConvBN; strides, rate and padding are of the depthwise convolution.

    Raises:
      ValueError: as ConvBN.
    """

    def __init__(self, filters: int, kernel_size: int = 3, **kwargs: Any):
        super().__init__(filters, kernel_size, **kwargs)

    def build(self, input_shape: Shape) -> None:
        channels = input_shape[-1]
        self.depthwise_kernel = self.add_weight(
            shape=(self.kernel_size, self.kernel_size, channels, 1),
            initializer=self.initializer,
            name="decayed_depthwise_kernel",
        )
        self.pointwise_kernel = self.add_weight(
            shape=(1, 1, channels, self.filters), initializer=self.initializer, name="pointwise_kernel"
        )
        self.batch_norm.build((*input_shape[:-1], self.filters))

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        inputs, padding = self._padded(inputs)
        kernel = ops.convert_to_tensor(self.depthwise_kernel)
        x = kernels.depthwise_conv(inputs, kernel, self.strides, self.rate, padding)
        return self._normalize(ops.conv(x, self.pointwise_kernel), training)

    def fold_batch_norm(self) -> None:
        multiply_kernel(self.pointwise_kernel, self.batch_norm.fold())

    def cost(self, input_shape: Any) -> Cost:
        """Returns the parameters and multiply-adds for an input of that shape."""
        _, height, width, _ = self.compute_output_shape(input_shape)
        channels = input_shape[-1]
        depthwise = depthwise_cost(self.kernel_size, channels, height, width, batch_norm=False)
        return depthwise + conv_cost(1, channels, self.filters, height, width)
