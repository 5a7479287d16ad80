"""Modified, aligned Xception (Chen et al., 2018, arXiv:1802.02611, Fig. 4; Chollet, arXiv:1610.02357)."""

import dataclasses
from typing import Any, ClassVar

import keras
from keras import ops

from deeplab_dpc.layers.composite import chain_output_shape, chained
from deeplab_dpc.layers.conv import ConvBN
from deeplab_dpc.layers.separable_conv import SplitSeparableConvBN
from deeplab_dpc.layers.types import Shape, Tensor
from deeplab_dpc.models.backbones.backbone import Backbone, Unit, atrous_rates

KERNEL_STDDEV = 0.09  # of the truncated normal initialisation, as published


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class XceptionModule(Unit):
    """Three separable convolutions, the third with the stride, plus a shortcut.

    [batch, height, width, channels] -> [batch, ceil(height / strides), ceil(width / strides), depths[2]]; the low-level
    features are the second separable convolution's output, before the third one's ReLU.

    Args:
      depths: output channels of the three convolutions.
      shortcut: 'conv' (1x1 with the stride), 'sum' (identity), or 'none'.
      strides: strides of the third convolution.
      rate: atrous rate of all three convolutions.
      unit_rates: factors of the rate, one for each convolution (the multi-grid).
      activation_inside: bool, whether a ReLU follows each depthwise and pointwise convolution instead of preceding each
        separable one.
    """

    def __init__(
        self,
        depths: tuple[int, int, int],
        shortcut: str = "conv",
        strides: int = 1,
        rate: int = 1,
        unit_rates: tuple[int, ...] = (1, 1, 1),
        activation_inside: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.depths = tuple(depths)
        self.shortcut = shortcut
        self.has_residual = shortcut != "none"
        self.strides = strides
        self.rate = rate
        self.unit_rates = tuple(unit_rates)
        self.activation_inside = activation_inside
        self.convs = [
            SplitSeparableConvBN(
                depth,
                (rate * unit_rate, rate * unit_rate),
                strides=strides if i == 3 else 1,
                explicit_padding=True,
                activation="relu" if activation_inside else None,
                depthwise_stddev=KERNEL_STDDEV,
                pointwise_stddev=KERNEL_STDDEV,
                name=f"separable_conv{i}",
                **self.shared_arguments,
            )
            for i, (depth, unit_rate) in enumerate(zip(self.depths, self.unit_rates, strict=True), start=1)
        ]
        self.shortcut_conv: ConvBN | None = None
        if shortcut == "conv":
            self.shortcut_conv = ConvBN(
                self.depths[2],
                strides=strides,
                activation=None,
                initializer=keras.initializers.TruncatedNormal(stddev=KERNEL_STDDEV),
                name="shortcut",
                **self.shared_arguments,
            )

    def steps(self, input_shape: Shape) -> list[tuple[Any, Shape]]:
        steps = chained(self.convs, input_shape)
        return steps if self.shortcut_conv is None else [*steps, (self.shortcut_conv, input_shape)]

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        x, outputs = inputs, []
        for conv in self.convs:
            x = conv(x if self.activation_inside else ops.relu(x), training=training)
            outputs.append(x)
        if self.shortcut_conv is not None:
            x = self.dropped(x, training) + self.shortcut_conv(inputs, training=training)
        elif self.shortcut == "sum":
            x = self.dropped(x, training) + inputs
        return (x, outputs[1]) if self.tapped else x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return chain_output_shape(self.convs, input_shape)

    def low_level_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.depths[1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "depths": self.depths,
            "shortcut": self.shortcut,
            "strides": self.strides,
            "rate": self.rate,
            "unit_rates": self.unit_rates,
            "activation_inside": self.activation_inside,
        }


@dataclasses.dataclass(frozen=True)
class FlowSpec:
    """A block of Fig. 4: `units` modules with these depths, each with the stride."""

    scope: str
    depths: tuple[int, int, int]
    shortcut: str = "conv"
    stride: int = 1
    units: int = 1


def _blocks(entry: tuple[tuple[int, int], ...], middle_units: int) -> tuple[FlowSpec, ...]:
    """Returns the blocks of a variant; `entry` is (filters, stride) of each block of the entry flow."""
    return (
        *(
            FlowSpec(f"entry_flow.block{i}", (filters,) * 3, stride=stride)
            for i, (filters, stride) in enumerate(entry, start=1)
        ),
        FlowSpec("middle_flow.block1", (728, 728, 728), shortcut="sum", units=middle_units),
        FlowSpec("exit_flow.block1", (728, 1024, 1024), stride=2),
        FlowSpec("exit_flow.block2", (1536, 1536, 2048), shortcut="none"),
    )


SHALLOW_ENTRY = ((128, 2), (256, 2), (728, 2))


class Xception(Backbone):
    """The Xception backbone, see Backbone; low-level features are outputs of second separable convolutions.

    Args:
      multi_grid: three factors of the block's rate, one for each convolution of the last block; empty for none.

    The other arguments are those of Backbone.
    """

    BATCH_NORM_DECAY = 0.9997
    BATCH_NORM_EPSILON = 1e-3
    OPTIONS = ("multi_grid",)
    BLOCKS: ClassVar[tuple[FlowSpec, ...]]

    def __init__(self, multi_grid: tuple[int, ...] = (), **kwargs: Any):
        super().__init__(**kwargs)
        self.multi_grid = tuple(multi_grid)
        stem = [
            self._stem_conv(32, strides=2, name="entry_flow.conv1_1"),
            self._stem_conv(64, strides=1, name="entry_flow.conv1_2"),
        ]
        self.assemble([*stem, *self._modules()])

    def _stem_conv(self, filters: int, **arguments: Any) -> ConvBN:
        initializer = keras.initializers.TruncatedNormal(stddev=KERNEL_STDDEV)
        return ConvBN(filters, 3, explicit_padding=True, initializer=initializer, **arguments, **self.shared_arguments)

    def _modules(self) -> list[XceptionModule]:
        units = [(block, number) for block in self.BLOCKS for number in range(1, block.units + 1)]
        rates = atrous_rates([block.stride for block, _ in units], self.output_stride, stride_so_far=2)
        modules = []
        for i, ((block, number), (stride, rate)) in enumerate(zip(units, rates, strict=True)):
            is_last = block is self.BLOCKS[-1]
            modules.append(
                XceptionModule(
                    block.depths,
                    block.shortcut,
                    strides=stride,
                    rate=rate,
                    unit_rates=self.multi_grid if is_last and self.multi_grid else (1, 1, 1),
                    activation_inside=is_last,
                    tapped=i in self.tapped_units(),
                    name=f"{block.scope}.unit_{number}.xception_module",
                    **self.shared_arguments,
                )
            )
        return modules


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class Xception41(Xception):
    """Xception-41, with eight units in the middle flow; see Xception."""

    SCOPE = "xception_41"
    BLOCKS = _blocks(SHALLOW_ENTRY, middle_units=8)
    LOW_LEVEL: ClassVar[dict[int, int]] = {4: 1, 8: 2, 16: 11}


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class Xception65(Xception):
    """Xception-65, with sixteen units in the middle flow; see Xception."""

    SCOPE = "xception_65"
    BLOCKS = _blocks(SHALLOW_ENTRY, middle_units=16)
    LOW_LEVEL: ClassVar[dict[int, int]] = {4: 1, 8: 2, 16: 19}


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class Xception71(Xception):
    """Xception-71, with sixteen units in the middle flow and five blocks in the entry flow (arXiv:1809.04184, Sec.
    4.1); see Xception.
    """

    SCOPE = "xception_71"
    BLOCKS = _blocks(((128, 2), (256, 1), (256, 2), (728, 1), (728, 2)), middle_units=16)
    LOW_LEVEL: ClassVar[dict[int, int]] = {4: 2, 8: 4, 16: 21}
