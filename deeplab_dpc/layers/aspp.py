"""Atrous spatial pyramid pooling (Chen et al., 2017, arXiv:1706.05587, Sec. 3.3; separable: arXiv:1802.02611).

With squeeze and excitation and no atrous branches it is LR-ASPP's encoder part (arXiv:1905.02244, Sec. 6.4).
"""

from typing import Any

import keras
from keras import ops

from deeplab_dpc.layers.composite import Composite
from deeplab_dpc.layers.conv import ConvBN
from deeplab_dpc.layers.dropout import Dropout
from deeplab_dpc.layers.pooling import ImageGate, ImagePooling
from deeplab_dpc.layers.separable_conv import SplitSeparableConvBN
from deeplab_dpc.layers.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class ASPP(Composite):
    """Image pooling, a 1x1 convolution and atrous convolutions side by side, concatenated and projected.

    [batch, height, width, channels] -> [batch, height, width, filters]; dropout comes after the projection.

    Example:
        import keras
        from deeplab_dpc.layers import ASPP

        features = keras.Input((33, 33, 320))
        model = keras.Model(features, ASPP(atrous_rates=(6, 12, 18), filters=16, batch_norm_decay=0.99)(features))

    Args:
      atrous_rates: rates in feature-map cells, one 3x3 branch each; empty for none (the published MobileNetV2 models).
      add_image_level_feature: bool, whether image pooling is added.
      filters: channels of each branch and of the projection.
      image_pooling_window, image_pooling_strides: window and strides of the image pooling, see ImageWindow.
      separable: bool, whether the 3x3 branches are separable convolutions; otherwise full ones.
      concat_projection: bool, whether the concatenation is projected; otherwise the output has filters * branches
        channels.
      squeeze_and_excitation: bool, whether the pooled image gates the output instead of being a branch.
      quantized_sigmoid: bool, whether the sigmoid of the gate is piecewise linear.
      dropout: fraction of values dropped after the projection, in [0, 1).
      batch_norm_decay, batch_norm_epsilon: see BatchNorm.

    Raises:
      ValueError: if a rate is less than 1, or the gate and the gated features have different numbers of channels.
    """

    def __init__(
        self,
        atrous_rates: tuple[int, ...] = (),
        add_image_level_feature: bool = True,
        filters: int = 256,
        image_pooling_window: tuple[int, int] | None = None,
        image_pooling_strides: tuple[int, int] = (1, 1),
        separable: bool = True,
        concat_projection: bool = True,
        squeeze_and_excitation: bool = False,
        quantized_sigmoid: bool = False,
        dropout: float = 0.1,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if any(rate < 1 for rate in atrous_rates):
            raise ValueError(f"`atrous_rates` must all be >= 1, got {tuple(atrous_rates)}.")
        if atrous_rates and squeeze_and_excitation and not concat_projection:
            raise ValueError("`squeeze_and_excitation` with `atrous_rates` needs `concat_projection`.")
        self.atrous_rates = tuple(atrous_rates)
        self.add_image_level_feature = add_image_level_feature
        self.filters = filters
        self.image_pooling_window = image_pooling_window
        self.image_pooling_strides = image_pooling_strides
        self.separable = separable
        self.concat_projection = concat_projection
        self.squeeze_and_excitation = squeeze_and_excitation
        self.quantized_sigmoid = quantized_sigmoid
        self.dropout_rate = dropout
        self.branches: list[keras.layers.Layer] = []
        self.gate: ImageGate | None = None
        if add_image_level_feature:
            self._add_image_pooling()
        self.branches.append(ConvBN(filters, name="aspp0", **self.shared_arguments))
        self.branches += [self._atrous_branch(i, rate) for i, rate in enumerate(self.atrous_rates, start=1)]
        self.projection: ConvBN | None = None
        if concat_projection:
            self.projection = ConvBN(filters, name="concat_projection", **self.shared_arguments)
            self.dropout = Dropout(dropout, dtype=self.dtype_policy)

    def _add_image_pooling(self) -> None:
        window = (self.image_pooling_window, self.image_pooling_strides)
        if self.squeeze_and_excitation:
            gate = "quantized_sigmoid" if self.quantized_sigmoid else "sigmoid"
            self.gate = ImageGate(self.filters, *window, activation=gate, name="image_pooling", dtype=self.dtype_policy)
        else:
            self.branches.append(ImagePooling(self.filters, *window, name="image_pooling", **self.shared_arguments))

    def _atrous_branch(self, index: int, rate: int) -> keras.layers.Layer:
        arguments = {"rate": (rate, rate), "name": f"aspp{index}", **self.shared_arguments}
        if self.separable:
            return SplitSeparableConvBN(self.filters, **arguments)
        return ConvBN(self.filters, kernel_size=3, **arguments)

    def steps(self, input_shape: Shape) -> list[tuple[Any, Shape]]:
        steps = [(branch, input_shape) for branch in self.branches]
        if self.projection is not None:
            steps.append((self.projection, (*input_shape[:-1], len(self.branches) * self.filters)))
        if self.gate is not None:
            steps.append((self.gate, input_shape))
        return steps

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        x = ops.concatenate([branch(inputs, training=training) for branch in self.branches], axis=-1)
        if self.projection is not None:
            x = self.dropout(self.projection(x, training=training), training=training)
        return x if self.gate is None else x * self.gate(inputs)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.filters * (1 if self.concat_projection else len(self.branches)))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "atrous_rates": self.atrous_rates,
            "add_image_level_feature": self.add_image_level_feature,
            "filters": self.filters,
            "image_pooling_window": self.image_pooling_window,
            "image_pooling_strides": self.image_pooling_strides,
            "separable": self.separable,
            "concat_projection": self.concat_projection,
            "squeeze_and_excitation": self.squeeze_and_excitation,
            "quantized_sigmoid": self.quantized_sigmoid,
            "dropout": self.dropout_rate,
        }
