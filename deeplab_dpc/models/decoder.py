"""The decoder of DeepLabv3+ (arXiv:1802.02611, Sec. 3.1), and that of LR-ASPP (arXiv:1905.02244, Sec. 6.4)."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.composite import Composite
from deeplab_dpc.layers.conv import BiasedConv, ConvBN
from deeplab_dpc.layers.separable_conv import SplitSeparableConvBN
from deeplab_dpc.layers.types import Shape, Tensor

LOW_LEVEL_FILTERS = 48  # arXiv:1802.02611, Sec. 4.1


class DecoderStage(Composite):
    """A stage of the decoder, which merges features with the low-level features of one stride.

    The arguments are those of Decoder; `index` counts the stages from 0 and is part of the published names.
    """

    def __init__(
        self,
        index: int,
        stride: int,
        filters: int,
        separable: bool,
        sum_merge: bool,
        output_is_logits: bool,
        **kwargs: Any,
    ):
        if output_is_logits:
            kwargs["dtype"] = "float32"  # the dtype of the next stage's input, too
        # The published names have no scope for a stage; the stage's name is dropped (checkpoint/names.py).
        super().__init__(name=f"decoder_stage{index}", **kwargs)
        self.stride = stride
        self.filters = filters
        self.sum_merge = sum_merge
        self.output_is_logits = output_is_logits
        suffix = f"_{index}" if index else ""
        projected = filters if sum_merge else LOW_LEVEL_FILTERS
        self.projection = self._conv(projected, 1, f"feature_projection0{suffix}")
        separable = separable and not output_is_logits
        self.convs: list[Any]
        if sum_merge and separable:
            self.convs = [self._separable(f"decoder_split_sep_conv0{suffix}")]
        elif sum_merge:
            self.convs = [self._conv(filters, 1 if output_is_logits else 3, f"decoder_conv0{suffix}")]
        elif separable:
            self.convs = [self._separable(f"decoder_conv{i}{suffix}") for i in (0, 1)]
        else:
            scope = f"decoder_conv0{suffix}"
            self.convs = [self._conv(filters, 3, f"{scope}.{scope}_{i}") for i in (1, 2)]

    def _conv(self, filters: int, kernel_size: int, name: str) -> keras.layers.Layer:
        if self.output_is_logits:
            return BiasedConv(filters, kernel_size, name=name, dtype=self.dtype_policy)
        return ConvBN(filters, kernel_size, name=name, **self.shared_arguments)

    def _separable(self, name: str) -> SplitSeparableConvBN:
        return SplitSeparableConvBN(self.filters, name=name, **self.shared_arguments)

    def steps(self, input_shape: tuple[Shape, Shape]) -> list[tuple[Any, Shape]]:
        features, low_level = input_shape
        merged = (low_level[0], *low_level[1:3], features[-1])
        if not self.sum_merge:
            merged = (*merged[:-1], features[-1] + self.projection.filters)
        steps = [(self.projection, low_level)]
        for conv in self.convs:
            steps.append((conv, merged))
            merged = (*merged[:-1], self.filters)
        return steps

    def call(self, inputs: tuple[Tensor, Tensor], image_size: Sequence[Tensor], training: bool = False) -> Tensor:
        features, low_level = inputs
        size = [(side - 1) // self.stride + 1 for side in image_size]
        features = kernels.resize_align_corners(features, *size)
        low_level = kernels.resize_align_corners(self.projection(low_level, training=training), *size)
        x = features if self.sum_merge else ops.concatenate([features, low_level], axis=-1)
        for conv in self.convs:
            x = conv(x, training=training)
        return x + low_level if self.sum_merge else x

    def compute_output_shape(self, input_shape: tuple[Shape, Shape]) -> Shape:
        return (*input_shape[1][:-1], self.filters)


class Decoder(Composite):
    """A decoder that refines features with low-level features of the backbone, from the coarsest to the finest stride.

    ([batch, h, w, channels], [low-level features, one for each stride]) -> [batch, height / stride, width / stride,
    filters] at the last stride. Each stage projects its low-level features with a 1x1 convolution, resizes both inputs
    to ceil(side / stride), and concatenates them before two 3x3 convolutions, or adds the projection to one
    convolution of the features.

    Args:
      strides: strides of the low-level features in pixels, descending.
      filters: channels of the output.
      separable: bool, whether the 3x3 convolutions are separable; otherwise they are full.
      sum_merge: bool, whether the inputs are added; otherwise they are concatenated.
      output_is_logits: bool, whether the output is the logits: the convolutions are then full, with bias, in float32,
        and have neither batch norm nor activation; the merging one is 1x1.
      batch_norm_decay, batch_norm_epsilon: see BatchNorm.
    """

    def __init__(
        self,
        strides: tuple[int, ...],
        filters: int = 256,
        separable: bool = True,
        sum_merge: bool = False,
        output_is_logits: bool = False,
        **kwargs: Any,
    ):
        kwargs.setdefault("name", "decoder")
        super().__init__(**kwargs)
        self.filters = filters
        self.stages = [
            DecoderStage(index, stride, filters, separable, sum_merge, output_is_logits, **self.shared_arguments)
            for index, stride in enumerate(strides)
        ]

    def steps(self, input_shape: tuple[Shape, Sequence[Shape]]) -> list[tuple[DecoderStage, tuple[Shape, Shape]]]:
        features, low_levels = input_shape
        steps = []
        for stage, low_level in zip(self.stages, low_levels, strict=True):
            steps.append((stage, (features, low_level)))
            features = stage.compute_output_shape(steps[-1][1])
        return steps

    def call(
        self, inputs: tuple[Tensor, Sequence[Tensor]], image_size: Sequence[Tensor], training: bool = False
    ) -> Tensor:
        """Returns the refined features; `image_size` is the (height, width) of the images in pixels."""
        features, low_levels = inputs
        for stage, low_level in zip(self.stages, low_levels, strict=True):
            features = stage((features, low_level), image_size=image_size, training=training)
        return features

    def compute_output_shape(self, input_shape: tuple[Shape, Sequence[Shape]]) -> Shape:
        stage, shape = self.steps(input_shape)[-1]
        return stage.compute_output_shape(shape)
