"""MobileNet for the Edge TPU, a variant of MobileNetV3 (Howard et al., 2019, arXiv:1905.02244) whose first blocks have
3x3 convolutions in place of an expansion and a depthwise convolution.

The layers are those of the published DeepLab (slim's `V3_EDGETPU`); all activations are ReLU.
"""

import functools
from typing import Any, ClassVar

import keras

from deeplab_dpc.layers.composite import chained
from deeplab_dpc.layers.conv import ConvBN
from deeplab_dpc.layers.types import Shape, Tensor
from deeplab_dpc.models.backbones.backbone import Unit
from deeplab_dpc.models.backbones.mobilenet import BlockSpec, MobileNet, kernel_initializer

_relu = functools.partial(BlockSpec, activation="relu")
_fused = functools.partial(_relu, fused=True)


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class FusedInvertedResidual(Unit):
    """A 3x3 convolution that expands, and a linear projection 1x1; a residual where the shapes agree.

    [batch, height, width, channels] -> [batch, height / strides, width / strides, filters], without low-level features.

    Args:
      filters: output channels.
      channels: channels of the input.
      expanded: channels of the 3x3 convolution, which is left out if they are not more than the input's.
      strides: strides of the 3x3 convolution.
      activation: activation of the 3x3 convolution.
    """

    def __init__(
        self, filters: int, channels: int, expanded: int, strides: int = 1, activation: str = "relu", **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.channels = channels
        self.expanded = expanded
        self.strides = strides
        self.activation = activation
        self.has_residual = strides == 1 and channels == filters
        shared = {**self.shared_arguments, "initializer": kernel_initializer()}
        self.expand: ConvBN | None = None
        if expanded > channels:
            self.expand = ConvBN(expanded, 3, strides=strides, activation=activation, name="expand", **shared)
        self.project = ConvBN(filters, activation=None, name="project", **shared)

    def steps(self, input_shape: Shape) -> list[tuple[Any, Shape]]:
        return chained([layer for layer in (self.expand, self.project) if layer is not None], input_shape)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        x = inputs if self.expand is None else self.expand(inputs, training=training)
        x = self.project(x, training=training)
        return self.dropped(x, training) + inputs if self.has_residual else x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = input_shape if self.expand is None else self.expand.compute_output_shape(input_shape)
        return (*shape[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "channels": self.channels,
            "expanded": self.expanded,
            "strides": self.strides,
            "activation": self.activation,
        }


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class MobileNetEdgeTPU(MobileNet):
    """MobileNet for the Edge TPU up to its last 1x1 convolution; see MobileNet.

    The published code defines no low-level features for it, so it has no decoder.
    """

    SCOPE = "MobilenetEdgeTPU"
    STEM_FILTERS = 32
    STEM_ACTIVATION = "relu"
    LOW_LEVEL: ClassVar[dict[int, int]] = {}
    FUSED_UNIT = FusedInvertedResidual
    BLOCKS = (
        _fused(1, 16),
        *(_fused(8, 32, 2), _fused(4, 32), _fused(4, 32), _fused(4, 32)),
        *(_fused(8, 48, 2), _fused(4, 48), _fused(4, 48), _fused(4, 48)),
        *(_relu(8, 96, 2), _relu(4, 96), _relu(4, 96), _relu(4, 96)),
        *(_relu(8, 96, residual=False), _relu(4, 96), _relu(4, 96), _relu(4, 96)),
        *(_relu(8, 160, 2, 5), _relu(4, 160, 1, 5), _relu(4, 160, 1, 5), _relu(4, 160, 1, 5)),
        _relu(8, 192),
    )
    LAST_FILTERS = 1280
