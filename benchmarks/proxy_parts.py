"""Seconds of each part of a step of the proxy task, alone: the project's kernels at the real shapes, both ways.

Each part is compiled as a step is (TensorFlow's graph with the project's clusters of XLA, or JAX' jit) and called
repeatedly on arrays on the device. The time includes the cost of the call itself, so that the sum of the parts may
exceed a step that does them all in one call. The ceilings are measured too: the dense product of the projection's
shape, forward or with its gradients, and passes over an array that does not fit in a cache.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, assert_never

import keras
import numpy as np
import proxy_count as count
from keras import ops
from proxy_count import Step

from deeplab_dpc.arch.cell import FILTERS
from deeplab_dpc.arch.operations import AtrousConv, Conv1x1, PyramidPooling
from deeplab_dpc.layers import depthwise, kernels
from deeplab_dpc.layers.dropout import hashed_dropout
from deeplab_dpc.layers.pooling import grid_pool
from deeplab_dpc.training.losses import SegmentationLoss
from deeplab_dpc.training.separated_loss import SeparatedLoss

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
else:
    import jax

    tf = None

EPSILON = 1e-5
DROPOUT = 0.1
MOMENTUM = 0.9
IGNORE_LABEL = 255
PASSED, PASSES = 2**26, 10  # number of float32 values (268 MB), and of passes over them
Function = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Ceilings:
    """The measured limits of the device.

    Attributes:
      flops: FLOP per second of a dense product.
      bandwidth: bytes per second of reading and writing an array.
    """

    flops: float
    bandwidth: float


@dataclasses.dataclass
class PartTimer:
    """A timer of the parts of a step.

    Attributes:
      step: step whose shapes are used.
      rounds: number of calls of each part, of which the median counts; of a ceiling the fastest counts.
      known: seconds that were measured before, for steps of the same precision and size.
    """

    step: Step
    rounds: int = 10
    known: dict[tuple[Any, ...], float] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        self.dtype = "float32" if self.step.activation_bytes == count.FLOAT32 else "bfloat16"
        self._rng = np.random.default_rng(0)

    def ceilings(self) -> Ceilings:
        """Returns the ceilings of the device, for this precision."""
        width = len(self.step.cell.branches) * FILTERS
        x, kernel = self._array(self.step.places, width), self._array(width, FILTERS)
        one = 2.0 * self.step.places * width * FILTERS
        # The gradients' products may be faster than the one forward.
        product = max(
            one / min(self._times(compiled(ops.matmul), x, kernel)),
            3.0 * one / self._product(width, FILTERS, self.dtype, True),
        )

        def passes(values: Any) -> Any:
            # In one call, since newly allocated memory costs more than the pass.
            return ops.fori_loop(0, PASSES, lambda i, x: 0.5 * x + 1.0, values)

        moved = 2.0 * PASSES * count.FLOAT32 * PASSED
        bandwidth = moved / min(self._times(compiled(passes), ops.zeros((PASSED,), "float32")))
        return Ceilings(product, bandwidth)

    def parts(self) -> dict[str, float]:
        """Returns the seconds of each part, in the order of proxy_count.PARTS."""
        found = dict.fromkeys(count.PARTS, 0.0)
        size = self.step.size
        found[count.INPUT] = self._input()
        for branch in self.step.cell.branches:
            channels = self.step.channels(branch.input)
            by_input = branch.input != count.BACKBONE
            if isinstance(branch.operation, PyramidPooling):
                found[count.POOLING] += self._pooling(branch.operation.grid, channels, by_input)
                continue
            if isinstance(branch.operation, AtrousConv):
                found[count.DEPTHWISE] += self._depthwise(branch.operation.rate, channels, by_input)
                found[count.BATCH_NORM] += self._batch_norm(channels)
                by_input = True
            elif not isinstance(branch.operation, Conv1x1):
                assert_never(branch.operation)
            found[count.POINTWISE] += self._product(channels, FILTERS, self.dtype, by_input)
            found[count.BATCH_NORM] += self._batch_norm(FILTERS)
            found[count.GRADIENT_SUMS] += self._sum() if branch.input != count.BACKBONE else 0.0
        branches = len(self.step.cell.branches)
        found[count.DROPOUT] = branches * self._dropout()
        found[count.PROJECTION] = self._product(branches * FILTERS, FILTERS, self.dtype, True)
        found[count.BATCH_NORM] += self._batch_norm(FILTERS)
        found[count.LOGITS] = self._product(FILTERS, size.classes, "float32", True)
        found[count.LOSS] = self._loss()
        found[count.UPDATE] = self._update()
        return found

    def _array(self, *shape: int, dtype: str | None = None) -> Any:
        return ops.convert_to_tensor(self._rng.normal(size=shape).astype("float32"), dtype or self.dtype)

    def _map(self, channels: int) -> Any:
        """Returns activations [batch, h, w, channels]."""
        return self._array(self.step.batch, self.step.size.height, self.step.size.width, channels)

    def _seconds(self, run: Function, *arguments: Any) -> float:
        return statistics.median(self._times(run, *arguments))

    def _times(self, run: Function, *arguments: Any) -> list[float]:
        finished(run(*arguments))  # traces and compiles
        times = []
        for _ in range(self.rounds):
            start = time.perf_counter()
            finished(run(*arguments))
            times.append(time.perf_counter() - start)
        return times

    def _both_ways(
        self, key: tuple[Any, ...], function: Function, arguments: Sequence[Any], which: Sequence[int]
    ) -> float:
        """Returns the seconds forward and backward; equal parts are measured once."""
        if key not in self.known:
            upstream = ops.ones_like(function(*arguments))
            self.known[key] = self._seconds(with_gradients(function, which), upstream, *arguments)
        return self.known[key]

    def _input(self) -> float:
        features = ops.cast(self._map(self.step.size.channels), "float16")
        split = ops.concatenate([features, features])
        rows = ops.convert_to_tensor(np.arange(self.step.batch) * 2, "int32")
        return self._seconds(compiled(lambda x, rows: ops.cast(ops.take(x, rows, axis=0), self.dtype)), split, rows)

    def _product(self, channels: int, filters: int, dtype: str, by_input: bool) -> float:
        arguments = [self._array(self.step.places, channels, dtype=dtype), self._array(channels, filters, dtype=dtype)]
        which = (0, 1) if by_input else (1,)
        return self._both_ways(("product", channels, filters, dtype, by_input), ops.matmul, arguments, which)

    def _depthwise(self, rate: tuple[int, int], channels: int, by_input: bool) -> float:
        kernel = self._array(count.KERNEL, count.KERNEL, channels, 1, dtype="float32")
        arguments = [self._map(channels), kernel, ops.convert_to_tensor(rate, "int32")]
        which = (0, 1) if by_input else (1,)
        return self._both_ways(("depthwise", rate, channels, by_input), depthwise.any_rate, arguments, which)

    def _batch_norm(self, channels: int) -> float:
        def normalized(x: Any, gamma: Any, beta: Any) -> Any:
            return ops.relu(kernels.batch_norm_training(x, gamma, beta, EPSILON)[0])

        arguments = [self._map(channels), ops.ones(channels), ops.zeros(channels)]
        return self._both_ways(("batch norm", channels), normalized, arguments, (0, 1, 2))

    def _pooling(self, grid: tuple[int, int], channels: int, by_input: bool) -> float:
        height, width = self.step.size.height, self.step.size.width

        def pooled(x: Any, kernel: Any, gamma: Any, beta: Any) -> Any:
            y = ops.matmul(grid_pool(x, grid), kernel)
            y = ops.relu(kernels.batch_norm_training(y, gamma, beta, EPSILON)[0])
            return kernels.resize_align_corners(y, height, width)

        arguments = [self._map(channels), self._array(channels, FILTERS), ops.ones(FILTERS), ops.zeros(FILTERS)]
        which = (0, 1, 2, 3) if by_input else (1, 2, 3)
        return self._both_ways(("pooling", grid, channels, by_input), pooled, arguments, which)

    def _dropout(self) -> float:
        arguments = [self._map(FILTERS), ops.convert_to_tensor(7, "int32")]
        return self._both_ways(("dropout",), lambda x, seed: hashed_dropout(x, DROPOUT, seed), arguments, (0,))

    def _sum(self) -> float:
        if ("sum",) not in self.known:
            self.known["sum",] = self._seconds(compiled(lambda x, y: x + y), self._map(FILTERS), self._map(FILTERS))
        return self.known["sum",]

    def _loss(self) -> float:
        size = self.step.size
        logits = self._array(self.step.batch, size.height, size.width, size.classes, dtype="float32")
        labels = self._rng.integers(0, size.classes, (self.step.batch, size.label_height, size.label_width))
        if not self.step.nodes:
            loss = SegmentationLoss(IGNORE_LABEL)
            arguments = [logits, ops.convert_to_tensor(labels, "uint8")]
            return self._both_ways(("exact loss",), lambda logits, labels: loss(labels, logits), arguments, (0,))
        sizes = (size.height, size.width), (size.label_height, size.label_width)
        separated = SeparatedLoss(*sizes, size.classes, IGNORE_LABEL, self.step.nodes)
        rows = separated.targets(labels).rows(np.arange(self.step.batch))
        names = list(rows)
        arguments = [logits, *(ops.convert_to_tensor(value) for value in rows.values())]

        def of_logits(logits: Any, *targets: Any) -> Any:
            return separated(dict(zip(names, targets, strict=True)), logits)

        return self._both_ways(("separated loss", self.step.nodes), of_logits, arguments, (0,))

    def _update(self) -> float:
        def updated(weight: Any, gradient: Any, accumulator: Any) -> Any:
            accumulator = MOMENTUM * accumulator + gradient + 1e-5 * weight
            return weight - 0.01 * accumulator, accumulator

        return self._seconds(
            compiled(updated), *(self._array(count.parameters(self.step), dtype="float32") for _ in range(3))
        )


def compiled(function: Function) -> Function:
    """Returns the function, compiled as a step is."""
    return jax.jit(function) if tf is None else tf.function(function, autograph=False)


def finished(result: Any) -> None:
    """Waits until the device has computed the result."""
    if tf is None:
        jax.block_until_ready(result)
    else:
        tf.test.experimental.sync_devices()


def with_gradients(function: Function, which: Sequence[int]) -> Function:
    """Returns a compiled function: (upstream gradient, arguments) -> (result, gradients of the arguments with these
    indices).
    """

    def chosen(arguments: Sequence[Any]) -> list[Any]:
        return [arguments[i] for i in which]

    if tf is None:

        def run(upstream: Any, *arguments: Any) -> Any:
            def of_chosen(*values: Any) -> Any:
                given = dict(zip(which, values, strict=True))
                return function(*(given.get(i, argument) for i, argument in enumerate(arguments)))

            result, pull = jax.vjp(of_chosen, *chosen(arguments))
            return result, pull(upstream)

    else:

        def run(upstream: Any, *arguments: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(chosen(arguments))
                result = function(*arguments)
            return result, tape.gradient(result, chosen(arguments), output_gradients=upstream)

    return compiled(run)
