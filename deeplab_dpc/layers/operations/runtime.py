"""The interface for the computation of an operation: as a layer, and as a function to which the proxy's network can
switch.
"""

import abc
from typing import Any, Generic, TypeVar

import keras
import numpy as np

from deeplab_dpc.arch.operations.base import Operation
from deeplab_dpc.layers.operations.seeded_draws import SeededDraws

AnOperation = TypeVar("AnOperation", bound=Operation)
Arrays = dict[str, np.ndarray]
Tensors = dict[str, Any]


class OperationRuntime(abc.ABC, Generic[AnOperation]):
    """The computation of the operations of a kind, in two ways with the same result (tests/search/test_operations.py).

    The layer is built for one operation. In the proxy's network (search/proxy/cell_network.py) the operation is data:
    `apply` reads the arrays that `wiring` returns, so that one compiled program contains all operations. Every branch
    has the weights "kernel" [width, filters], "gamma" and "beta" [filters], and the statistics "mean" and "variance"
    [filters], where width is the largest number of input channels. An operation may add further ones, under names of
    its own.
    """

    @abc.abstractmethod
    def layer(self, operation: AnOperation, filters: int, output_stride: int, **arguments: Any) -> keras.layers.Layer:
        """Returns the layer, with batch norm and activation: [b, h, w, channels] -> [b, h, w, filters].

        Args:
          operation: the operation.
          filters: output channels.
          output_stride: output stride of the features, in pixels.
          **arguments: name, dtype, batch_norm_decay and batch_norm_epsilon.
        """

    @abc.abstractmethod
    def blank_wiring(self, grid: int, size: tuple[int, int]) -> Arrays:
        """Returns the arrays of `wiring` for a branch with an operation of another kind.

        Args:
          grid: largest side of a grid that the network supports.
          size: (h, w) of the features.
        """

    @abc.abstractmethod
    def wiring(self, operation: AnOperation, grid: int, size: tuple[int, int], output_stride: int) -> Arrays:
        """Returns the arrays that `apply` reads, of the shapes and types of `blank_wiring`.

        Args:
          operation: the operation; the sides of its grid, if it has one, are at most `grid`.
          grid: largest side of a grid that the network supports.
          size: (h, w) of the features.
          output_stride: output stride of the features, in pixels.
        """

    @abc.abstractmethod
    def further_weights(self, width: int) -> Arrays:
        """Returns the float32 weights beside the common ones, with the values they have in branches that do not use
        them.
        """

    @abc.abstractmethod
    def further_statistics(self, width: int) -> Arrays:
        """Returns the float32 statistics beside the common ones, with their values before the first step."""

    @abc.abstractmethod
    def drawn_weights(self, draws: SeededDraws, branch: int, channels: int, width: int, filters: int) -> Arrays:
        """Returns the random initial weights, distributed as the layer's; rows beyond the input's channels are 0.

        Args:
          draws: random numbers by name.
          branch: index of the branch, which is part of those names.
          channels: channels of the branch's input.
          width: rows of the kernel.
          filters: output channels.
        """

    @abc.abstractmethod
    def apply(self, x: Any, weights: Tensors, wiring: Tensors, known: Tensors | None) -> tuple[Any, Tensors]:
        """Returns the output, in the dtype of `x`, and the statistics of the operation's batch norms by name.

        Args:
          x: features [b, h, w, channels], channels <= width.
          weights: weights of the branch.
          wiring: wiring of the branch.
          known: statistics to normalise with and to return; None for those of the batch.
        """


class PointwiseRuntime(OperationRuntime[AnOperation]):
    """The runtime of an operation whose only weights are those of its 1x1 convolution and batch norm."""

    def further_weights(self, width: int) -> Arrays:
        return {}

    def further_statistics(self, width: int) -> Arrays:
        return {}

    def drawn_weights(self, draws: SeededDraws, branch: int, channels: int, width: int, filters: int) -> Arrays:
        return {"kernel": draws.glorot_kernel(f"kernel {branch}", channels, width, filters)}
