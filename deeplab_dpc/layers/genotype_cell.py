"""The cell of a retrained Auto-DeepLab (Liu et al., CVPR 2019, arXiv:1901.02985, Sec. 3.1), as published.

Layers have the names of the published variables (tensorflow/models, research/deeplab/core/nas_cell.py).
"""

from typing import Any

import keras
from keras import ops

from deeplab_dpc.arch.genotype import (
    ATROUS_RATE,
    NUM_INPUTS,
    OPERATORS,
    POOLING_SIZE,
    Atrous,
    AveragePooling,
    Edge,
    Genotype,
    MaxPooling,
    Operator,
    Separable,
    Skip,
)
from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.composite import Composite, chained
from deeplab_dpc.layers.conv import ConvBN, NormalizedConv
from deeplab_dpc.layers.drop_path import DropPath
from deeplab_dpc.layers.separable_conv import SeparableConvBN
from deeplab_dpc.layers.types import Shape, Tensor

_BY_NAME: dict[str, Operator] = {operator.name: operator for operator in OPERATORS}


def kernel_initializer() -> keras.initializers.Initializer:
    """Returns the published initialisation, uniform in +-1 / sqrt(fan_in)."""
    return keras.initializers.VarianceScaling(scale=1 / 3, mode="fan_in", distribution="uniform")


def named_conv(filters: int, kernel_size: int, name: str, batch_norm: str, **kwargs: Any) -> ConvBN:
    """Returns a convolution with batch norm, without activation; their scopes are beside each other, as published."""
    return ConvBN(
        filters,
        kernel_size,
        activation=None,
        initializer=kernel_initializer(),
        batch_norm_scope=f"..{batch_norm}",
        name=name,
        **kwargs,
    )


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class EdgeOperator(Composite):
    """An operator of a cell: [batch, height, width, filters] -> [batch, ceil(height / strides), ..., filters].

    Separable: ReLU, depthwise and pointwise convolution and batch norm, twice. Atrous: ReLU, convolution of rate 2,
    batch norm; if strided, the features are resized first and the rate is 1. Skip: the input, or if strided ReLU, 1x1
    convolution, batch norm. Drop path follows every operator except a skip.

    Args:
      operator: operator of OPERATORS, or its name; not zero.
      filters: number of channels.
      strides: 1 or 2.
      drop_path_keep_prob: see DropPath.
      batch_norm_decay, batch_norm_epsilon: see BatchNorm.

    Raises:
      ValueError: if the operator is zero.
    """

    def __init__(
        self,
        operator: Operator | str,
        filters: int,
        strides: int = 1,
        drop_path_keep_prob: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.operator = _BY_NAME[operator] if isinstance(operator, str) else operator
        self.filters = filters
        self.strides = strides
        self.drop_path_keep_prob = drop_path_keep_prob
        self.convs = self._convs()
        self.drop_path: DropPath | None = None
        if drop_path_keep_prob < 1.0 and not isinstance(self.operator, Skip):
            self.drop_path = DropPath(drop_path_keep_prob, name="drop_path", dtype=self.dtype_policy)

    def _convs(self) -> list[NormalizedConv]:
        shared, name = self.shared_arguments, self.operator.name
        match self.operator:
            case Separable(size):
                return [self._separable(size, i) for i in (1, 2)]
            case Atrous(size):
                rate = ATROUS_RATE if self.strides == 1 else 1
                batch_norm = name.replace("atrous", "bn_atr")
                return [named_conv(self.filters, size, name, batch_norm, rate=(rate, rate), **shared)]
            case AveragePooling() | MaxPooling():
                return []
            case Skip():
                return [] if self.strides == 1 else [named_conv(self.filters, 1, "1x1", "bn_1", strides=2, **shared)]
        raise ValueError(f"`operator` must compute something, got {name}.")

    def _separable(self, kernel_size: int, number: int) -> SeparableConvBN:
        return SeparableConvBN(
            self.filters,
            kernel_size,
            strides=self.strides if number == 1 else 1,
            explicit_padding=True,
            activation=None,
            initializer=kernel_initializer(),
            batch_norm_scope=f"..bn_sep_{kernel_size}x{kernel_size}_{number}",
            name=f"{self.operator.name}_{number}",
            **self.shared_arguments,
        )

    def _resizes(self) -> bool:
        return isinstance(self.operator, Atrous) and self.strides == 2

    def steps(self, input_shape: Shape) -> list[tuple[Any, Shape]]:
        return chained(self.convs, self.compute_output_shape(input_shape) if self._resizes() else input_shape)

    def call(self, inputs: Tensor, training: bool = False, progress: Tensor | None = None) -> Tensor:
        x = inputs
        if isinstance(self.operator, AveragePooling):
            x = ops.average_pool(x, POOLING_SIZE, self.strides, "same")
        elif isinstance(self.operator, MaxPooling):
            x = ops.max_pool(x, POOLING_SIZE, self.strides, "same")
        for conv in self.convs:
            x = ops.relu(x)
            if self._resizes():
                x = kernels.resize_align_corners(x, *((side - 1) // 2 + 1 for side in ops.shape(x)[1:3]))
            x = conv(x, training=training)
        return x if self.drop_path is None else self.drop_path(x, training=training, progress=progress)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, height, width, _ = input_shape
        sides = (None if side is None else -(-side // self.strides) for side in (height, width))
        return (batch, *sides, self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "operator": self.operator.name,
            "filters": self.filters,
            "strides": self.strides,
            "drop_path_keep_prob": self.drop_path_keep_prob,
        }


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class GenotypeCell(Composite):
    """The concatenation of blocks, each the sum of two operators on earlier states.

    (H(l-1), H(l-2)), both [batch, height, width, channels] -> [batch, h, w, len(blocks) * filters]. If H(l-1) comes
    from a coarser level, it is first upsampled to 2 * side - 1; if it comes from a finer one, the operators on the two
    inputs are strided. H(l-2) is resized to the size of H(l-1) before that. Then ReLU, a 1x1 convolution and batch norm
    give both `filters` channels; H(l-2) is left unchanged if it already has them.

    Args:
      genotype: genotype whose blocks are used, or its JSON; its path is not used.
      filters: channels of a block.
      before_previous_channels: channels of H(l-2).
      level_change: the cell's level minus that of H(l-1): -1, 0 or 1.
      resizes_before_previous: bool, whether H(l-2) may differ in size from H(l-1).
      drop_path_keep_prob: keep probability of each operator, see DropPath.
      batch_norm_decay, batch_norm_epsilon: see BatchNorm.
    """

    def __init__(
        self,
        genotype: Genotype | dict[str, Any],
        filters: int,
        before_previous_channels: int,
        level_change: int = 0,
        resizes_before_previous: bool = False,
        drop_path_keep_prob: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.genotype = genotype if isinstance(genotype, Genotype) else Genotype.from_json(genotype)
        self.blocks = self.genotype.blocks
        self.filters = filters
        self.before_previous_channels = before_previous_channels
        self.level_change = level_change
        self.resizes_before_previous = resizes_before_previous
        self.drop_path_keep_prob = drop_path_keep_prob
        self.before_previous_conv: ConvBN | None = None
        if before_previous_channels != filters:
            self.before_previous_conv = named_conv(filters, 1, "prev_1x1", "prev_bn", **self.shared_arguments)
        self.previous_conv = named_conv(filters, 1, "1x1", "beginning_bn", **self.shared_arguments)
        self.operators = [
            (self._operator(block.left, f"comb_iter_{i}.left"), self._operator(block.right, f"comb_iter_{i}.right"))
            for i, block in enumerate(self.blocks)
        ]

    def _operator(self, edge: Edge, name: str) -> EdgeOperator:
        strides = 2 if self.level_change == 1 and edge.state < NUM_INPUTS else 1
        return EdgeOperator(
            edge.operator, self.filters, strides, self.drop_path_keep_prob, name=name, **self.shared_arguments
        )

    def _entry_shape(self, previous_shape: Any) -> Any:
        """Returns the shape of H(l-1) after it is upsampled."""
        batch, height, width, channels = previous_shape
        if self.level_change == -1:
            height, width = (None if side is None else 2 * side - 1 for side in (height, width))
        return (batch, height, width, channels)

    def steps(self, input_shape: tuple[Shape, Shape]) -> list[tuple[Any, Shape]]:
        entry = self._entry_shape(input_shape[0])
        before_previous = (*entry[:-1], self.before_previous_channels)
        steps = [(self.previous_conv, entry)]
        if self.before_previous_conv is not None:
            steps.append((self.before_previous_conv, before_previous))
        inside = self.compute_output_shape(input_shape)
        shapes = {0: (*entry[:-1], self.filters), 1: (*entry[:-1], self.filters)}
        for block, pair in zip(self.blocks, self.operators, strict=True):
            for edge, operator in zip(block.edges, pair, strict=True):
                steps.append((operator, shapes.get(edge.state, (*inside[:-1], self.filters))))
        return steps

    def call(self, inputs: tuple[Tensor, Tensor], training: bool = False, progress: Tensor | None = None) -> Tensor:
        previous, before_previous = inputs
        if self.level_change == -1:
            previous = kernels.resize_align_corners(previous, *(2 * side - 1 for side in ops.shape(previous)[1:3]))
        if self.resizes_before_previous:
            before_previous = kernels.resize_align_corners(before_previous, *ops.shape(previous)[1:3])
        if self.before_previous_conv is not None:
            before_previous = self.before_previous_conv(ops.relu(before_previous), training=training)
        states = [self.previous_conv(ops.relu(previous), training=training), before_previous]
        for block, pair in zip(self.blocks, self.operators, strict=True):
            left, right = (
                operator(states[edge.state], training=training, progress=progress)
                for edge, operator in zip(block.edges, pair, strict=True)
            )
            states.append(left + right)
        return ops.concatenate(states[NUM_INPUTS:], axis=-1)

    def compute_output_shape(self, input_shape: tuple[Shape, Shape]) -> Shape:
        batch, height, width, _ = self._entry_shape(input_shape[0])
        if self.level_change == 1:
            height, width = (None if side is None else -(-side // 2) for side in (height, width))
        return (batch, height, width, len(self.blocks) * self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "genotype": self.genotype.to_json(),
            "filters": self.filters,
            "before_previous_channels": self.before_previous_channels,
            "level_change": self.level_change,
            "resizes_before_previous": self.resizes_before_previous,
            "drop_path_keep_prob": self.drop_path_keep_prob,
        }
