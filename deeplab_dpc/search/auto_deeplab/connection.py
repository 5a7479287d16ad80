"""A cell of the supernet with the convolutions that bring its two inputs to its size and channels (arXiv:1901.02985,
Sec. 5.1).

The output of the previous layer passes a 3x3 convolution of stride 2 going down, a 1x1 convolution at the same stride,
or a bilinear resize and a 1x1 convolution going up; the output of the layer before that passes a 1x1 convolution. ReLU
comes before, batch norm after each. The paper's convolution of stride 2 doubles the channels of the concatenation,
which each cell then reduces to those of a block; here one convolution does both. If sH^(l-2) does not exist, which is
the case in the first layers of a stride, the output of the neighbouring level of that layer is used, and resized.
"""

import dataclasses
from typing import Any

from keras import ops

from deeplab_dpc.search.auto_deeplab.convolution import Shape, conv_bn, conv_shapes, resized
from deeplab_dpc.search.auto_deeplab.mixed_cell import MixedCell
from deeplab_dpc.search.auto_deeplab.normalizer import Normalizer

PREVIOUS, BEFORE = "previous", "before"


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
