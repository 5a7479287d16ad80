"""The network of the proxy task as a function of its weights and of its wiring (arXiv:1809.04184, Sec. 3.3).

It computes a cell and the logits on the features of a frozen backbone, as DensePredictionCell and Logits do. Here the
cell is data (wiring.py): a branch switches between the operations and between the earlier outputs, so that one compiled
program serves every cell. Weights have the largest shape that is needed; unused entries are 0 and stay 0.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from keras import ops

from deeplab_dpc.arch.cell import FILTERS
from deeplab_dpc.arch.operations import Operation, known_operations
from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.dropout import hashed_dropout
from deeplab_dpc.layers.operations import runtime_of
from deeplab_dpc.layers.operations.functional import batch_norm, pointwise
from deeplab_dpc.search.proxy.wiring import ABSENT, Capacity, row

DROPOUT = 0.1
SEED_STRIDE = 0x1B873593  # difference between the dropout seeds of successive branches
Tensors = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class CellNetwork:
    """The proxy's network: features [batch, h, w, channels] -> logits [batch, h, w, num_classes] in float32, for any
    wiring.

    Attributes:
      channels: channels of the features.
      num_classes: number of classes of the logits.
      capacity: capacity of the wiring.
      dtype: dtype of the activations; weights, statistics and logits are in float32.
      filters: number of filters of every convolution.
      dropout: fraction of the branches' outputs that is dropped before the projection.
    """

    channels: int
    num_classes: int
    capacity: Capacity
    dtype: str = "float32"
    filters: int = FILTERS
    dropout: float = DROPOUT

    @property
    def width(self) -> int:
        """Returns the number of rows of a kernel that can read either the features or a branch."""
        return max(self.channels, self.filters)

    @property
    def initial_statistics(self) -> dict[str, np.ndarray]:
        """Returns the statistics of a branch before the first step, float32."""
        found = {"mean": np.zeros(self.filters, "float32"), "variance": np.ones(self.filters, "float32")}
        for kind in known_operations():
            found |= runtime_of(kind).further_statistics(self.width)
        return found

    def __call__(
        self, weights: Any, wiring: Tensors, features: Any, statistics: Any = None, seed: Any = None
    ) -> tuple[Any, Any]:
        """Returns the logits, and the statistics of the batch.

        Args:
          weights: weights in the structure of initial_weights.
          wiring: wiring of the cell, for features of this size.
          features: features [batch, h, w, channels], any floating dtype.
          statistics: moving averages to normalise with; None in training, to normalise with those of the batch.
          seed: seed of the dropout, an int32 scalar; None for no dropout.

        Returns:
          Logits [batch, h, w, num_classes], and means and unbiased variances in the structure of the statistics.
        """
        features = ops.cast(features, self.dtype)
        outputs: list[Any] = []
        found: list[Tensors] = []
        projected: Any = 0.0
        for i in range(self.capacity.branches):
            own = weights["branches"][i]
            known = None if statistics is None else statistics["branches"][i]
            branch = row(wiring, i)
            output, measured = self._branch(i, own, branch, features, outputs, known)
            outputs.append(output)
            found.append(measured)
            mask_seed = None if seed is None else _branch_seed(seed, i)
            projected = projected + self._projected(
                output, weights["projection"]["kernel"][i], branch["kind"], mask_seed
            )
        x, mean, variance = batch_norm(
            projected, weights["projection"], None if statistics is None else statistics["projection"]
        )
        logits = pointwise(ops.cast(ops.relu(x), "float32"), weights["logits"]["kernel"]) + weights["logits"]["bias"]
        return logits, {"branches": found, "projection": {"mean": mean, "variance": variance}}

    def _branch(
        self, i: int, weights: Tensors, wiring: Tensors, features: Any, outputs: Sequence[Any], known: Tensors | None
    ) -> tuple[Any, Tensors]:
        """Returns the output [batch, h, w, filters] of branch i, and its statistics."""
        batch, height, width, _ = features.shape
        initial = self.initial_statistics

        def complete(found: Tensors) -> Iterator[Any]:
            return (found[name] if name in found else ops.convert_to_tensor(initial[name]) for name in initial)

        def absent() -> Any:
            return ops.zeros((batch, height, width, self.filters), self.dtype), *complete({})

        def operation(kind: type[Operation], x: Any) -> Any:
            y, found = runtime_of(kind).apply(x, weights, wiring, known)
            return y, *complete(found)

        operations = [functools.partial(operation, kind) for kind in known_operations()]
        output, *statistics = self._chosen([absent, *operations], wiring, features, outputs)
        return output, dict(zip(initial, statistics, strict=True))

    def _chosen(
        self, operations: Sequence[Callable[..., Any]], wiring: Tensors, features: Any, outputs: Sequence[Any]
    ) -> Any:
        """Returns the result of a branch: that of its operation, applied to the features or to an earlier output."""
        absent, *others = operations
        kind = wiring["kind"]
        cases: list[Callable[[], Any]] = [absent, *(functools.partial(operation, features) for operation in others)]
        if outputs:
            # One switch after another: nested ones have no gradient on TensorFlow.
            source = ops.maximum(wiring["source"], 1) - 1
            inner = outputs[0] if len(outputs) == 1 else ops.switch(source, [lambda o=o: o for o in outputs])
            cases += [functools.partial(operation, inner) for operation in others]
            kind = kind + len(others) * ops.cast((kind != ABSENT) & (wiring["source"] > 0), "int32")
        return kernels.switch(kind, cases)

    def _projected(self, x: Any, kernel: Any, kind: Any, seed: Any) -> Any:
        """Returns the contribution of one branch to the projection, which is summed in float32."""

        def absent() -> Any:
            return ops.zeros(x.shape, "float32")

        def present() -> Any:
            y = x if seed is None or self.dropout == 0.0 else hashed_dropout(x, self.dropout, seed)
            return ops.cast(pointwise(y, kernel), "float32")

        return kernels.switch(ops.cast(kind != ABSENT, "int32"), [absent, present])


def _branch_seed(seed: Any, i: int) -> Any:
    return ops.cast(seed, "uint32") + ops.convert_to_tensor(i * SEED_STRIDE % 2**32, dtype="uint32")
