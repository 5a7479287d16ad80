"""MobileNetV2 (Sandler et al., 2018, arXiv:1801.04381, Table 2) up to its 320-channel layer, with atrous rates."""

from typing import Any

import keras

from deeplab_dpc.errors import UserError
from deeplab_dpc.layers.conv import ConvBN, DepthwiseConvBN

EXPANSION = 6
# (filters, stride) of each inverted residual block; the first one does not expand.
BLOCKS = (
    (16, 1),
    *((24, 2), (24, 1)),
    *((32, 2), (32, 1), (32, 1)),
    *((64, 2), (64, 1), (64, 1), (64, 1)),
    *((96, 1), (96, 1), (96, 1)),
    *((160, 2), (160, 1), (160, 1)),
    (320, 1),
)
STEM_FILTERS = 32
OUTPUT_STRIDES = (8, 16, 32)


def make_divisible(value: float, divisor: int, minimum: int) -> int:
    """The multiple of `divisor` nearest to `value`, at least `minimum` and at least 90 % of `value`."""
    rounded = max(minimum, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class InvertedResidual(keras.layers.Layer):
    """Expansion 1x1, depthwise 3x3, linear projection 1x1; a residual where the shapes agree (Sec. 3.3).

    [batch, height, width, channels] -> [batch, height / stride, width / stride, filters]
    """

    def __init__(self, filters: int, strides: int, rate: int, expansion: int, conv_args: dict[str, Any], **kwargs: Any):
        super().__init__(**kwargs)
        self.filters = filters
        self.strides = strides
        self.rate = rate
        self.expansion = expansion
        self.conv_args = conv_args
        self.depthwise = DepthwiseConvBN(
            (rate, rate), strides=strides, activation="relu6", name="depthwise", **self._initialized()
        )
        self.project = ConvBN(filters, activation=None, name="project", **self._initialized())
        self.expand: ConvBN | None = None

    def _initialized(self):
        return {**self.conv_args, "initializer": keras.initializers.TruncatedNormal(stddev=0.09)}

    def build(self, input_shape):
        self.has_residual = self.strides == 1 and input_shape[-1] == self.filters
        shape = input_shape
        if self.expansion > 1:
            # The expansion is rounded to 8 whatever the depth multiplier, as published.
            expanded = make_divisible(input_shape[-1] * self.expansion, 8, 8)
            self.expand = ConvBN(expanded, activation="relu6", name="expand", **self._initialized())
            self.expand.build(shape)
            shape = self.expand.compute_output_shape(shape)
        self.depthwise.build(shape)
        self.project.build(self.depthwise.compute_output_shape(shape))

    def call(self, inputs, training=False):
        x = inputs if self.expand is None else self.expand(inputs, training=training)
        x = self.project(self.depthwise(x, training=training), training=training)
        return x + inputs if self.has_residual else x

    def compute_output_shape(self, input_shape):
        return (*self.depthwise.compute_output_shape(input_shape)[:-1], self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "strides": self.strides,
            "rate": self.rate,
            "expansion": self.expansion,
            "conv_args": self.conv_args,
        }


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class MobileNetV2(keras.layers.Layer):
    """[batch, height, width, 3] in [-1, 1] -> [batch, height / output_stride, width / output_stride, channels].

    Once the output stride is reached, blocks keep stride 1 and use the current atrous rate, which is then multiplied
    by the stride that was left out.

    Args:
      output_stride: 8, 16 or 32, in pixels.
      depth_multiplier: of the channels, > 0; they are rounded to multiples of 8 only when it is 1.
      batch_norm_decay: of the moving averages; 0.997 as published.

    Raises:
      UserError: if the output stride or the multiplier is not one of those.
    """

    BATCH_NORM_DECAY = 0.997
    BATCH_NORM_EPSILON = 1e-3

    def __init__(
        self,
        output_stride: int = 16,
        depth_multiplier: float = 1.0,
        batch_norm_decay: float = BATCH_NORM_DECAY,
        **kwargs: Any,
    ):
        kwargs.setdefault("name", "MobilenetV2")
        super().__init__(**kwargs)
        if output_stride not in OUTPUT_STRIDES:
            raise UserError(f"--output_stride must be one of {OUTPUT_STRIDES}, got {output_stride}.")
        if depth_multiplier <= 0:
            raise UserError(f"--depth_multiplier must be > 0, got {depth_multiplier}.")
        self.output_stride = output_stride
        self.depth_multiplier = depth_multiplier
        self.batch_norm_decay = batch_norm_decay
        conv_args = {
            "batch_norm_decay": batch_norm_decay,
            "batch_norm_epsilon": self.BATCH_NORM_EPSILON,
            "dtype": self.dtype_policy,
        }
        self.stem = ConvBN(
            self._filters(STEM_FILTERS),
            kernel_size=3,
            strides=2,
            activation="relu6",
            initializer=keras.initializers.TruncatedNormal(stddev=0.09),
            name="Conv",
            **conv_args,
        )
        self.blocks: list[InvertedResidual] = []
        stride_so_far, rate = 2, 1
        for i, (filters, stride) in enumerate(BLOCKS):
            block_stride, block_rate = stride, 1
            if stride_so_far == output_stride:
                block_stride, block_rate = 1, rate
                rate *= stride
            else:
                stride_so_far *= stride
            self.blocks.append(
                InvertedResidual(
                    self._filters(filters),
                    block_stride,
                    block_rate,
                    expansion=EXPANSION if i else 1,
                    conv_args=conv_args,
                    name=f"expanded_conv_{i}" if i else "expanded_conv",
                    dtype=self.dtype_policy,
                )
            )

    def _filters(self, filters: int) -> int:
        rounding = 8 if self.depth_multiplier == 1.0 else 1
        return make_divisible(filters * self.depth_multiplier, rounding, rounding)

    def build(self, input_shape):
        self.stem.build(input_shape)
        shape = self.stem.compute_output_shape(input_shape)
        for block in self.blocks:
            block.build(shape)
            shape = block.compute_output_shape(shape)

    def call(self, inputs, training=False):
        x = self.stem(inputs, training=training)
        for block in self.blocks:
            x = block(x, training=training)
        return x

    def compute_output_shape(self, input_shape):
        shape = self.stem.compute_output_shape(input_shape)
        for block in self.blocks:
            shape = block.compute_output_shape(shape)
        return shape

    def get_config(self):
        return {
            **super().get_config(),
            "output_stride": self.output_stride,
            "depth_multiplier": self.depth_multiplier,
            "batch_norm_decay": self.batch_norm_decay,
        }
