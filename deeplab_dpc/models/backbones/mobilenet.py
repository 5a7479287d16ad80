"""The base of MobileNetV2 (arXiv:1801.04381) and MobileNetV3 (arXiv:1905.02244): inverted residuals after a stem."""

import dataclasses
from typing import Any, ClassVar

import keras
from keras import ops

from deeplab_dpc.errors import UserError
from deeplab_dpc.layers.composite import Composite, chained
from deeplab_dpc.layers.conv import BiasedConv, ConvBN, DepthwiseConvBN
from deeplab_dpc.layers.types import Shape, Tensor
from deeplab_dpc.models.backbones.backbone import Backbone, Unit, atrous_rates

KERNEL_STDDEV = 0.09  # of the truncated normal initialisation, as published
EXPANSION_DIVISOR = 8  # the expanded channels are multiples of it, whatever the depth multiplier
SQUEEZE_FACTOR = 4


def make_divisible(value: float, divisor: int, minimum: int) -> int:
    """Returns the multiple of `divisor` nearest to `value`, at least `minimum` and at least 90 % of `value`."""
    rounded = max(minimum, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def kernel_initializer() -> keras.initializers.Initializer:
    """Returns the initializer of all kernels of a MobileNet."""
    return keras.initializers.TruncatedNormal(stddev=KERNEL_STDDEV)


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class SqueezeExcite(Composite):
    """Squeeze and excitation: x * gate(mean(x)), with two 1x1 convolutions for the gate (Hu et al., 2018,
    arXiv:1709.01507).

    [batch, height, width, channels] -> the same shape

    Args:
      channels: channels of the input.
    """

    def __init__(self, channels: int, **kwargs: Any):
        kwargs.setdefault("name", "squeeze_excite")
        super().__init__(**kwargs)
        self.channels = channels
        squeezed = make_divisible(channels / SQUEEZE_FACTOR, EXPANSION_DIVISOR, EXPANSION_DIVISOR)
        shared = {"initializer": kernel_initializer(), "dtype": self.dtype_policy}
        self.squeeze = BiasedConv(squeezed, activation="relu", name="Conv", **shared)
        self.excite = BiasedConv(channels, activation="quantized_sigmoid", name="Conv_1", **shared)

    def steps(self, input_shape: Shape) -> list[tuple[Any, Shape]]:
        return chained([self.squeeze, self.excite], (input_shape[0], 1, 1, self.channels))

    def call(self, inputs: Tensor) -> Tensor:
        return inputs * self.excite(self.squeeze(ops.mean(inputs, axis=(1, 2), keepdims=True)))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels}


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class InvertedResidual(Unit):
    """Expansion 1x1, depthwise, linear projection 1x1; a residual where the shapes agree (arXiv:1801.04381, Sec. 3.3).

    [batch, height, width, channels] -> [batch, height / strides, width / strides, filters]; the low-level features are
    the depthwise convolution's output.

    Args:
      filters: output channels.
      channels: channels of the input.
      expanded: channels of the depthwise convolution; there is no expansion if they are not more than the input's.
      strides, rate: strides and rate of the depthwise convolution.
      kernel_size: side of the depthwise kernel.
      activation: activation of the expansion and the depthwise convolution.
      squeeze_excite: bool, whether the depthwise output is gated (arXiv:1905.02244, Sec. 5.3).
      residual: bool, whether the input is added to the output if the shapes agree.
    """

    def __init__(
        self,
        filters: int,
        channels: int,
        expanded: int,
        strides: int = 1,
        rate: int = 1,
        kernel_size: int = 3,
        activation: str = "relu6",
        squeeze_excite: bool = False,
        residual: bool = True,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.channels = channels
        self.expanded = expanded
        self.strides = strides
        self.rate = rate
        self.kernel_size = kernel_size
        self.activation = activation
        self.squeeze_excite = squeeze_excite
        self.residual = residual
        self.has_residual = residual and strides == 1 and channels == filters
        shared = {**self.shared_arguments, "initializer": kernel_initializer()}
        self.expand: ConvBN | None = None
        if expanded > channels:
            self.expand = ConvBN(expanded, activation=activation, name="expand", **shared)
        self.depthwise = DepthwiseConvBN(
            (rate, rate), kernel_size, strides=strides, activation=activation, name="depthwise", **shared
        )
        self.gate = SqueezeExcite(expanded, dtype=self.dtype_policy) if squeeze_excite else None
        self.project = ConvBN(filters, activation=None, name="project", **shared)

    def steps(self, input_shape: Shape) -> list[tuple[Any, Shape]]:
        layers = [self.expand, self.depthwise, self.gate, self.project]
        return chained([layer for layer in layers if layer is not None], input_shape)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        x = inputs if self.expand is None else self.expand(inputs, training=training)
        low_level = self.depthwise(x, training=training)
        x = low_level if self.gate is None else self.gate(low_level)
        x = self.project(x, training=training)
        if self.has_residual:
            x = self.dropped(x, training) + inputs
        return (x, low_level) if self.tapped else x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*self.depthwise.compute_output_shape(input_shape)[:-1], self.filters)

    def low_level_shape(self, input_shape: Shape) -> Shape:
        return (*self.depthwise.compute_output_shape(input_shape)[:-1], self.expanded)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "channels": self.channels,
            "expanded": self.expanded,
            "strides": self.strides,
            "rate": self.rate,
            "kernel_size": self.kernel_size,
            "activation": self.activation,
            "squeeze_excite": self.squeeze_excite,
            "residual": self.residual,
        }


@dataclasses.dataclass(frozen=True)
class BlockSpec:
    """A row of the papers' tables.

    Attributes:
      expansion: factor by which the input's channels are multiplied.
      filters: output channels at depth multiplier 1.
      stride: stride of the depthwise convolution in the plain network.
      kernel_size, activation, squeeze_excite, residual: see InvertedResidual.
      fused: bool, whether the block is a FUSED_UNIT instead of an InvertedResidual.
    """

    expansion: float
    filters: int
    stride: int = 1
    kernel_size: int = 3
    activation: str = "relu6"
    squeeze_excite: bool = False
    residual: bool = True
    fused: bool = False


class MobileNet(Backbone):
    """A 3x3 stem of stride 2, inverted residuals, and, if LAST_FILTERS is set, a final 1x1 convolution.

    Args:
      depth_multiplier: factor of the number of channels, > 0.

    The other arguments are those of Backbone.
    """

    BATCH_NORM_DECAY = 0.997
    BATCH_NORM_EPSILON = 1e-3
    OPTIONS: ClassVar[tuple[str, ...]] = ("depth_multiplier",)
    STEM_FILTERS: ClassVar[int]
    STEM_ACTIVATION: ClassVar[str]
    BLOCKS: ClassVar[tuple[BlockSpec, ...]]
    LAST_FILTERS: ClassVar[int | None] = None
    FUSED_UNIT: ClassVar[type[Any] | None] = None

    def __init__(self, depth_multiplier: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        if depth_multiplier <= 0:
            raise UserError(f"--depth_multiplier must be > 0, got {depth_multiplier}.")
        self.depth_multiplier = depth_multiplier
        self.assemble(self._chain())

    def _filters(self, filters: int) -> int:
        """Returns the number of channels at the depth multiplier."""
        return make_divisible(filters * self.depth_multiplier, 8, 8)

    def _chain(self) -> list[Any]:
        stem_filters = self._filters(self.STEM_FILTERS)
        layers: list[Any] = [self._conv(stem_filters, kernel_size=3, strides=2, name="Conv")]
        channels = stem_filters
        units = zip(self.BLOCKS, atrous_rates([b.stride for b in self.BLOCKS], self.output_stride, 2), strict=True)
        for i, (block, (stride, rate)) in enumerate(units):
            expanded = make_divisible(channels * block.expansion, EXPANSION_DIVISOR, EXPANSION_DIVISOR)
            filters = self._filters(block.filters)
            shape = (filters, channels, expanded if block.expansion > 1 else channels)
            options: dict[str, Any] = {
                "strides": stride,
                "activation": block.activation,
                "name": f"expanded_conv_{i}" if i else "expanded_conv",
                **self.shared_arguments,
            }
            if block.fused and self.FUSED_UNIT is not None:
                layers.append(self.FUSED_UNIT(*shape, **options))
            else:
                layers.append(
                    InvertedResidual(
                        *shape,
                        rate=rate,
                        kernel_size=block.kernel_size,
                        squeeze_excite=block.squeeze_excite,
                        residual=block.residual,
                        tapped=i in self.tapped_units(),
                        **options,
                    )
                )
            channels = filters
        if self.LAST_FILTERS is not None:
            layers.append(self._conv(self._filters(self.LAST_FILTERS), name="Conv_1"))
        return layers

    def _conv(self, filters: int, **arguments: Any) -> ConvBN:
        return ConvBN(
            filters,
            activation=self.STEM_ACTIVATION,
            initializer=kernel_initializer(),
            **arguments,
            **self.shared_arguments,
        )
