"""The network of the proxy task as a function of its weights and of its wiring (arXiv:1809.04184, Sec. 3.3).

A cell and the logits on the features of a frozen backbone, equal to DensePredictionCell and Logits. Here the cell is
data (wiring.py): a branch switches between the operations and between the earlier outputs, so one compiled program
takes every cell. Weights have the shapes of what needs most of them; the rest of them is 0 and stays so.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from deeplab_dpc.arch.cell import FILTERS
from deeplab_dpc.layers import depthwise, kernels
from deeplab_dpc.layers.hashed_dropout import hashed_dropout
from deeplab_dpc.search.wiring import ABSENT, Capacity, row

EPSILON = 1e-5  # of batch norm
DROPOUT = 0.1
SEED_STRIDE = 0x1B873593  # between the dropout of the branches
Tensors = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class CellNetwork:
    """Features [batch, h, w, channels] -> logits [batch, h, w, num_classes] in float32, for any wiring.

    Attributes:
      channels: of the features.
      num_classes: of the logits.
      capacity: of the wiring.
      dtype: of the activations; weights, statistics and logits are in float32.
      filters: of every convolution.
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
        """Channels of the weights that read an input of either kind."""
        return max(self.channels, self.filters)

    def __call__(
        self, weights: Any, wiring: Tensors, features: Any, statistics: Any = None, seed: Any = None
    ) -> tuple[Any, Any]:
        """The logits, and the statistics of the batch.

        Args:
          weights: as initial_weights gives them.
          wiring: of the cell, for features of this size.
          features: [batch, h, w, channels], any floating dtype.
          statistics: moving averages to normalise with; None in training, to normalise with those of the batch.
          seed: int32 scalar of the dropout; None for no dropout.

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
        x, mean, variance = _batch_norm(
            projected, weights["projection"], None if statistics is None else statistics["projection"]
        )
        logits = _pointwise(ops.cast(ops.relu(x), "float32"), weights["logits"]["kernel"]) + weights["logits"]["bias"]
        return logits, {"branches": found, "projection": {"mean": mean, "variance": variance}}

    def _branch(
        self, i: int, weights: Tensors, wiring: Tensors, features: Any, outputs: Sequence[Any], known: Tensors | None
    ) -> tuple[Any, Tensors]:
        """The output [batch, h, w, filters] of branch i, and its statistics."""
        batch, height, width, _ = features.shape

        def absent() -> Any:
            nothing = (ops.zeros(self.filters), ops.ones(self.filters))
            return ops.zeros((batch, height, width, self.filters), self.dtype), *nothing, *self._no_depthwise()

        def pointwise(x: Any) -> Any:
            y, mean, variance = _batch_norm(_pointwise(x, weights["kernel"]), weights, known)
            return ops.relu(y), mean, variance, *self._no_depthwise()

        def atrous(x: Any) -> Any:
            channels = x.shape[-1]
            y = kernels.kept(depthwise.any_rate(x, weights["depthwise_kernel"][..., :channels, :], wiring["rate"]))
            y, *inner = _batch_norm(y, _cut(weights, channels), _cut(known, channels), "depthwise_")
            z, mean, variance = _batch_norm(_pointwise(ops.relu(y), weights["kernel"]), weights, known)
            return ops.relu(z), mean, variance, *(_filled(value, self.width) for value in inner)

        def pooling(x: Any) -> Any:
            pooled = _resized(x, wiring["pool_rows"], wiring["pool_columns"])
            pooled = ops.cast(_pointwise(ops.cast(pooled, self.dtype), weights["kernel"]), "float32")
            y, mean, variance = _masked_batch_norm(pooled, wiring["grid_points"], weights, known)
            upsampled = _resized(ops.relu(y), wiring["upsample_rows"], wiring["upsample_columns"])
            return ops.cast(upsampled, self.dtype), mean, variance, *self._no_depthwise()

        found = self._chosen(i, [absent, pointwise, atrous, pooling], wiring, features, outputs)
        output, mean, variance, depthwise_mean, depthwise_variance = found
        return output, {
            "mean": mean,
            "variance": variance,
            "depthwise_mean": depthwise_mean,
            "depthwise_variance": depthwise_variance,
        }

    def _chosen(
        self, i: int, operations: Sequence[Callable[..., Any]], wiring: Tensors, features: Any, outputs: Sequence[Any]
    ) -> Any:
        """The result of branch i: one of the operations, by its kind, on the features or on an earlier output."""
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
        """The part of the projection that reads one branch, summed up in float32."""

        def absent() -> Any:
            return ops.zeros(x.shape, "float32")

        def present() -> Any:
            y = x if seed is None or self.dropout == 0.0 else hashed_dropout(x, self.dropout, seed)
            return ops.cast(_pointwise(y, kernel), "float32")

        return kernels.switch(ops.cast(kind != ABSENT, "int32"), [absent, present])

    def _no_depthwise(self) -> tuple[Any, Any]:
        return ops.zeros(self.width), ops.ones(self.width)


def _pointwise(x: Any, kernel: Any) -> Any:
    """1x1 convolution of [batch, h, w, channels] with as many rows of [channels, filters] as `x` has channels."""
    *sizes, channels = x.shape
    y = kernels.kept(ops.matmul(ops.reshape(x, (-1, channels)), ops.cast(kernel[:channels], x.dtype)))
    return ops.reshape(y, (*sizes, kernel.shape[-1]))


def _batch_norm(x: Any, weights: Tensors, known: Tensors | None, prefix: str = "") -> tuple[Any, Any, Any]:
    """Normalises over all axes but the last; returns mean and variance too."""
    gamma, beta = weights[f"{prefix}gamma"], weights[f"{prefix}beta"]
    if known is None:
        return kernels.batch_norm_training(x, gamma, beta, EPSILON)
    mean, variance = known[f"{prefix}mean"], known[f"{prefix}variance"]
    return kernels.batch_norm_inference(x, gamma, beta, mean, variance, EPSILON), mean, variance


def _masked_batch_norm(x: Any, points: Any, weights: Tensors, known: Tensors | None) -> tuple[Any, Any, Any]:
    """The same over some points alone: x float32 [batch, grid, grid, channels], points [grid, grid] of 0 and 1."""
    if known is not None:
        scale = ops.rsqrt(known["variance"] + EPSILON) * weights["gamma"]
        return (x - known["mean"]) * scale + weights["beta"], known["mean"], known["variance"]
    mask, count = points[None, :, :, None], ops.sum(points) * x.shape[0]
    mean = ops.sum(x * mask, axis=(0, 1, 2)) / count
    centred = x - mean
    variance = ops.sum(ops.square(centred) * mask, axis=(0, 1, 2)) / count
    y = centred * (ops.rsqrt(variance + EPSILON) * weights["gamma"]) + weights["beta"]
    return y, mean, variance * (count / ops.maximum(count - 1.0, 1.0))


def _resized(x: Any, rows: Any, columns: Any) -> Any:
    """[batch, h, w, channels] -> [batch, H, W, channels] by [H, h] and [W, w], in float32."""
    return ops.einsum("Hh,bhwc,Ww->bHWc", rows, ops.cast(x, "float32"), columns)


def _cut(values: Tensors | None, channels: int) -> Any:
    """What belongs to the depthwise convolution, for the first channels."""
    if values is None:
        return None
    names = ("gamma", "beta", "mean", "variance")
    return {name: value[:channels] for name, value in values.items() if name in {f"depthwise_{part}" for part in names}}


def _filled(values: Any, width: int) -> Any:
    return ops.pad(values, (0, width - values.shape[0]))


def _branch_seed(seed: Any, i: int) -> Any:
    return ops.cast(seed, "uint32") + ops.convert_to_tensor(i * SEED_STRIDE % 2**32, dtype="uint32")
