"""ResNet-v1 (He et al., 2015, arXiv:1512.03385, Table 1), also with DeepLab's "beta" stem of three 3x3 convolutions.

The multi-grid is that of DeepLabv3 (arXiv:1706.05587, Sec. 3.2.1). As published, the last unit of a block has the
block's stride.
"""

from typing import Any, ClassVar

import keras
from keras import ops

from deeplab_dpc.arch.cost import Cost
from deeplab_dpc.config.model import IMAGENET_PIXEL
from deeplab_dpc.layers.composite import chain_output_shape, chained
from deeplab_dpc.layers.conv import ConvBN
from deeplab_dpc.layers.types import Shape, Tensor
from deeplab_dpc.models.backbones.backbone import Backbone, Unit, atrous_rates

EXPANSION = 4  # ratio of the output channels of a unit to those of its 3x3 convolution


def _initializer() -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(scale=2.0, mode="fan_in", distribution="truncated_normal")


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class Bottleneck(Unit):
    """The bottleneck unit: relu(shortcut + 1x1, 3x3, 1x1), with batch norm after each convolution.

    [batch, height, width, channels] -> [batch, ceil(height / strides), ceil(width / strides), 4 * depth]; the low-level
    features are the last convolution's output, before the sum.

    Args:
      depth: channels of the 3x3 convolution.
      channels: channels of the input; the shortcut is a 1x1 convolution where they differ from 4 * depth.
      strides, rate: strides and rate of the 3x3 convolution.
    """

    def __init__(self, depth: int, channels: int, strides: int = 1, rate: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        self.depth = depth
        self.channels = channels
        self.strides = strides
        self.rate = rate
        shared = {**self.shared_arguments, "initializer": _initializer()}
        filters = EXPANSION * depth
        self.convs = [
            ConvBN(depth, name="conv1", **shared),
            ConvBN(depth, 3, strides=strides, rate=(rate, rate), explicit_padding=True, name="conv2", **shared),
            ConvBN(filters, activation=None, name="conv3", **shared),
        ]
        self.shortcut: ConvBN | None = None
        if channels != filters:
            self.shortcut = ConvBN(filters, strides=strides, activation=None, name="shortcut", **shared)

    def steps(self, input_shape: Shape) -> list[tuple[Any, Shape]]:
        steps = chained(self.convs, input_shape)
        return steps if self.shortcut is None else [(self.shortcut, input_shape), *steps]

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        residual = inputs
        for conv in self.convs:
            residual = conv(residual, training=training)
        if self.shortcut is not None:
            shortcut = self.shortcut(inputs, training=training)
        else:
            shortcut = inputs[:, :: self.strides, :: self.strides]
        x = ops.relu(shortcut + self.dropped(residual, training))
        return (x, residual) if self.tapped else x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return chain_output_shape(self.convs, input_shape)

    def low_level_shape(self, input_shape: Shape) -> Shape:
        return self.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "depth": self.depth,
            "channels": self.channels,
            "strides": self.strides,
            "rate": self.rate,
        }


class _StemPooling(keras.layers.MaxPooling2D):
    """3x3 max pooling of stride 2."""

    def __init__(self, **kwargs: Any):
        super().__init__(3, strides=2, padding="same", **kwargs)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        return super().call(inputs)

    def cost(self, input_shape: Any) -> Cost:
        return Cost()


class ResNet(Backbone):
    """The base class of the ResNet-v1 backbones; low-level features are outputs of units' last convolutions.

    Args:
      multi_grid: three factors of the block's rate, one for each unit of the last block; empty for none. The published
        weights require 1, 2, 4.

    The other arguments are those of Backbone.
    """

    BATCH_NORM_DECAY = 0.95
    BATCH_NORM_EPSILON = 1e-5
    OPTIONS = ("multi_grid",)
    UNITS: ClassVar[tuple[int, int, int, int]]  # numbers of units of the four blocks
    # (name, channels, kernel size, strides) of each convolution before the pooling; those of "beta".
    STEM: ClassVar[tuple[tuple[str, int, int, int], ...]] = (
        ("conv1_1", 64, 3, 2),
        ("conv1_2", 64, 3, 1),
        ("conv1_3", 128, 3, 1),
    )

    def __init__(self, multi_grid: tuple[int, ...] = (), **kwargs: Any):
        super().__init__(**kwargs)
        self.multi_grid = tuple(multi_grid)
        stem = self._stem()
        pooling = _StemPooling(name="pool1", dtype=self.dtype_policy)
        self.assemble([*stem, pooling, *self._bottlenecks(stem[-1].filters)])

    def _stem(self) -> list[ConvBN]:
        """Returns the convolutions before the pooling, with a stride of 2 in all."""
        return [
            ConvBN(
                filters,
                kernel_size,
                strides=strides,
                explicit_padding=True,
                initializer=_initializer(),
                name=name,
                **self.shared_arguments,
            )
            for name, filters, kernel_size, strides in self.STEM
        ]

    def _bottlenecks(self, channels: int) -> list[Bottleneck]:
        units = [(block, unit, count) for block, count in enumerate(self.UNITS) for unit in range(count)]
        last_block = len(self.UNITS) - 1
        strides = [2 if unit == count - 1 and block != last_block else 1 for block, unit, count in units]
        layers = []
        for i, (stride, rate) in enumerate(atrous_rates(strides, self.output_stride, stride_so_far=4)):
            block, unit, _ = units[i]
            depth = 64 * 2**block
            layers.append(
                Bottleneck(
                    depth,
                    channels,
                    strides=stride,
                    rate=rate * (self.multi_grid[unit] if self.multi_grid and block == last_block else 1),
                    tapped=i in self.tapped_units(),
                    name=f"block{block + 1}.unit_{unit + 1}.bottleneck_v1",
                    **self.shared_arguments,
                )
            )
            channels = EXPANSION * depth
        return layers


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class ResNet50Beta(ResNet):
    """ResNet-50 with the "beta" stem, with 3, 4, 6 and 3 units; see ResNet."""

    SCOPE = "resnet_v1_50"
    UNITS = (3, 4, 6, 3)
    LOW_LEVEL: ClassVar[dict[int, int]] = {4: 1, 8: 5, 16: 11}


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class ResNet101Beta(ResNet):
    """ResNet-101 with the "beta" stem, with 3, 4, 23 and 3 units; see ResNet."""

    SCOPE = "resnet_v1_101"
    UNITS = (3, 4, 23, 3)
    LOW_LEVEL: ClassVar[dict[int, int]] = {4: 1, 8: 5, 16: 28}


class _Plain(ResNet):
    """The plain variant: a first layer of 7x7, and images from which the mean pixel of ImageNet is subtracted."""

    STEM = (("conv1", 64, 7, 2),)

    def normalised(self, images: Tensor) -> Tensor:
        return images - ops.convert_to_tensor(IMAGENET_PIXEL, "float32")


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class ResNet50(_Plain, ResNet50Beta):
    """ResNet-50 with the plain first layer; see ResNet."""


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class ResNet101(_Plain, ResNet101Beta):
    """ResNet-101 with the plain first layer; see ResNet."""
