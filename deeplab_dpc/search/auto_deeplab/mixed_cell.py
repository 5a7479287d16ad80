"""The cell of the supernet: every operator on every edge, mixed by the alphas (arXiv:1901.02985, Eq. 1 to 4).

    H_i = sum over j < i of O_bar_ji(H_j)               H_0, H_1: the layer before, and the one before that
    O_bar_ji(x) = sum over k of alpha_kji * O_kji(x)

All edges that leave a state are computed together: their weights are concatenated, [targets * filters] channels. No
operator's batch norm has a learnt scale or offset, which would compensate an alpha (as in arXiv:1806.09055, Sec.
A.1.1); the alphas replace the scale.

Each connection has such a cell, with the convolutions that bring its two inputs to its size and channels (Sec. 5.1).
The output of the previous layer passes a 3x3 convolution of stride 2 going down, a 1x1 convolution at the same stride,
or a bilinear resize and a 1x1 convolution going up; the output of the layer before that passes a 1x1 convolution. ReLU
comes before, batch norm after each. The paper's convolution of stride 2 doubles the channels of the concatenation,
which each cell then reduces to those of a block; here one convolution does both. If sH^(l-2) does not exist, which is
the case in the first layers of a stride, the output of the neighbouring level of that layer is used, and resized.
"""

import dataclasses
from typing import Any

import numpy as np
from keras import ops

from deeplab_dpc.arch.genotype import (
    ATROUS_RATE,
    NUM_INPUTS,
    OPERATORS,
    POOLING_SIZE,
    Atrous,
    AveragePooling,
    MaxPooling,
    Operator,
    Separable,
    Skip,
)
from deeplab_dpc.arch.genotype_space import cell_edges
from deeplab_dpc.search.auto_deeplab.convolution import (
    Normalizer,
    Shape,
    conv,
    conv_bn,
    conv_shapes,
    pointwise,
    resized,
)

REPETITIONS = (1, 2)  # repetitions of depthwise and pointwise convolution in a separable one
COLUMN = {operator: column for column, operator in enumerate(OPERATORS)}
SEPARABLE = tuple(operator for operator in OPERATORS if isinstance(operator, Separable))
ATROUS = tuple(operator for operator in OPERATORS if isinstance(operator, Atrous))
WITH_WEIGHTS: tuple[Operator, ...] = (*SEPARABLE, *ATROUS)
WITHOUT_WEIGHTS = (AveragePooling(), MaxPooling(), Skip())
MATRIX = "matrix"
Tensors = dict[str, Any]
PREVIOUS, BEFORE = "previous", "before"


def edge_rows(num_blocks: int) -> dict[tuple[int, int], int]:
    """Returns the row in the alphas of each edge (state, block): by block, and then by state."""
    return {(state, block): row for row, (block, state) in enumerate(cell_edges(num_blocks))}


@dataclasses.dataclass(frozen=True)
class MixedCell:
    """A cell of the supernet.

    Attributes:
      num_blocks: number of blocks whose outputs are concatenated.
      filters: channels of a block.
    """

    num_blocks: int
    filters: int

    def targets(self, state: int) -> list[int]:
        """Returns the blocks that read a state."""
        return list(range(max(0, state - NUM_INPUTS + 1), self.num_blocks))

    @property
    def states(self) -> list[int]:
        """Returns the states that blocks read; the last block is not one of them."""
        return list(range(NUM_INPUTS + self.num_blocks - 1))

    def weight_shapes(self) -> dict[str, Shape]:
        """Returns the shapes of the weights by name."""
        shapes: dict[str, Shape] = {}
        for state in self.states:
            targets, filters = len(self.targets(state)), self.filters
            for operator in SEPARABLE:
                side = operator.kernel_size
                for i in REPETITIONS:
                    name = f"state{state}/{operator.name}_{i}"
                    shapes[f"{name}/depthwise_kernel"] = (side, side, targets * filters, 1)
                    shapes[f"{name}/pointwise_kernel"] = (targets, filters, filters)
            for atrous in ATROUS:
                side = atrous.kernel_size
                shapes[f"state{state}/{atrous.name}/kernel"] = (side, side, filters, targets * filters)
        return shapes

    def normalized(self) -> dict[str, int]:
        """Returns the number of channels at each batch norm, by name."""
        channels: dict[str, int] = {}
        for state in self.states:
            wide = len(self.targets(state)) * self.filters
            channels |= {f"state{state}/{operator.name}_{i}": wide for operator in SEPARABLE for i in REPETITIONS}
            channels |= {f"state{state}/{operator.name}": wide for operator in ATROUS}
            channels |= {f"state{state}/{pool.name}": self.filters for pool in (AveragePooling(), MaxPooling())}
        return channels

    def __call__(
        self, weights: Tensors, previous: Any, before: Any, shares: list[Tensors], normalize: Normalizer
    ) -> Any:
        """Returns the concatenated blocks [batch, height, width, num_blocks * filters].

        Args:
          weights: weights by name.
          previous, before: outputs of the previous layer and of the one before that, brought to [batch, height, width,
            filters].
          shares: shares of the operators, from `shares`.
          normalize: batch norm of the operators.
        """
        states = [previous, before]
        sums: list[Any] = [None] * self.num_blocks
        for state in self.states:
            if state >= NUM_INPUTS:
                states.append(sums[state - NUM_INPUTS])
            targets = self.targets(state)
            mixed = self._mixed(state, weights, states[state], shares[state], normalize)
            for block, part in zip(targets, ops.split(mixed, len(targets), axis=-1), strict=True):
                sums[block] = part if sums[block] is None else sums[block] + part
        return ops.concatenate(sums, axis=-1)

    def shares(self, alphas: Any) -> list[Tensors]:
        """Returns the probabilities of the operators in the form that the edges leaving each state need.

        They are common to all cells with that number of filters.

        Args:
          alphas: probabilities float32 [edges, operators], see `edge_rows`.

        Returns:
          For each state the share of each operator with weights, [targets * filters] by its name, and the MATRIX [3 *
          filters, targets * filters] that mixes poolings and skip.
        """
        rows = edge_rows(self.num_blocks)
        result = []
        for state in self.states:
            targets = self.targets(state)
            own = ops.take(alphas, [rows[state, block] for block in targets], axis=0)
            wide = ops.repeat(own, self.filters, axis=0)  # [targets * filters, operators]
            shares = {operator.name: wide[:, COLUMN[operator]] for operator in WITH_WEIGHTS}
            chosen = ops.take(own, [COLUMN[operator] for operator in WITHOUT_WEIGHTS], axis=1)  # [targets, 3]
            matrix = ops.einsum("to,cd->octd", chosen, np.eye(self.filters, dtype="float32"))
            shares[MATRIX] = ops.reshape(matrix, (len(WITHOUT_WEIGHTS) * self.filters, len(targets) * self.filters))
            result.append(shares)
        return result

    def _mixed(self, state: int, weights: Tensors, x: Any, shares: Tensors, normalize: Normalizer) -> Any:
        """Returns the contributions of the edges that leave a state to their blocks: [batch, height, width, targets *
        filters].
        """
        targets = len(self.targets(state))
        activated = ops.relu(x)
        repeated = ops.concatenate([activated] * targets, axis=-1) if targets > 1 else activated
        y = self._without_weights(state, x, shares[MATRIX], normalize)
        for operator in SEPARABLE:
            y = y + self._separable(state, operator, weights, repeated, shares[operator.name], normalize)
        for atrous in ATROUS:
            name = f"state{state}/{atrous.name}"
            convolved = conv(activated, weights[f"{name}/kernel"], rate=ATROUS_RATE)
            y = y + normalize(name, convolved, shares[atrous.name])
        return y

    def _separable(
        self, state: int, operator: Separable, weights: Tensors, x: Any, share: Any, normalize: Normalizer
    ) -> Any:
        for i in REPETITIONS:
            name = f"state{state}/{operator.name}_{i}"
            depthwise_kernel = ops.cast(weights[f"{name}/depthwise_kernel"], x.dtype)
            x = x if i == REPETITIONS[0] else ops.relu(x)
            # Not the form that kernels.py has for JAX on a CPU: compiling hundreds of them takes hours.
            x = ops.depthwise_conv(x, depthwise_kernel, padding="same")
            x = pointwise(x, block_diagonal(weights[f"{name}/pointwise_kernel"]))
            x = normalize(name, x, share if i == REPETITIONS[-1] else None)
        return x

    def _without_weights(self, state: int, x: Any, matrix: Any, normalize: Normalizer) -> Any:
        """Computes the poolings and the skip of all edges by one product with a matrix."""
        average = ops.average_pool(x, POOLING_SIZE, strides=1, padding="same")
        largest = ops.max_pool(x, POOLING_SIZE, strides=1, padding="same")
        average = normalize(f"state{state}/{AveragePooling.name}", average)
        largest = normalize(f"state{state}/{MaxPooling.name}", largest)
        return pointwise(ops.concatenate([average, largest, x], axis=-1), matrix)


def block_diagonal(matrices: Any) -> Any:
    """Returns [groups * channels, groups * filters] from [groups, channels, filters], with 0 outside the blocks.

    With the few channels of a search the product with zeros is faster than a product by groups.
    """
    groups, channels, filters = matrices.shape
    rows = ops.reshape(matrices, (groups * channels, filters))
    if groups == 1:
        return rows
    mask = np.kron(np.eye(groups, dtype="float32"), np.ones((channels, filters), "float32"))
    return ops.concatenate([rows] * groups, axis=1) * mask


@dataclasses.dataclass(frozen=True)
class ConnectedCell:
    """A cell on a connection.

    Attributes:
      cell: cell that is computed at the connection's target.
      previous_channels, before_channels: channels of the two inputs, from the previous layer and the one before that.
      down: bool, whether the connection doubles the stride.
    """

    cell: MixedCell
    previous_channels: int
    before_channels: int
    down: bool

    def weight_shapes(self) -> dict[str, Shape]:
        """Returns the shapes of the weights by name."""
        filters = self.cell.filters
        return {
            **conv_shapes(PREVIOUS, 3 if self.down else 1, self.previous_channels, filters),
            **conv_shapes(BEFORE, 1, self.before_channels, filters),
            **self.cell.weight_shapes(),
        }

    def normalized(self) -> dict[str, int]:
        """Returns the number of channels at each batch norm, by name."""
        return {PREVIOUS: self.cell.filters, BEFORE: self.cell.filters, **self.cell.normalized()}

    def __call__(
        self,
        previous: Any,
        before: Any,
        shares: list[dict[str, Any]],
        weights: dict[str, Any],
        normalize: Normalizer,
        size: tuple[int, int],
    ) -> Any:
        """Returns the output [batch, height, width, num_blocks * filters].

        Args:
          previous, before: inputs [batch, h, w, channels] of any size, before ReLU.
          shares: see MixedCell.shares.
          weights: weights by name.
          normalize: batch norm of all convolutions.
          size: (height, width) of the output.
        """
        newer = ops.relu(previous if self.down else resized(previous, size))
        newer = conv_bn(weights, PREVIOUS, newer, normalize, strides=2 if self.down else 1)
        older = conv_bn(weights, BEFORE, ops.relu(resized(before, size)), normalize)
        return self.cell(weights, newer, older, shares, normalize)
