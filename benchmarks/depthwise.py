"""Milliseconds of the forms of the 3 x 3 atrous depthwise convolution, forward and both gradients, alternating.

    python benchmarks/depthwise.py
    KERAS_BACKEND=jax python benchmarks/depthwise.py --sizes=23x31 --rates=1x1,6x21

`any rate` is layers/depthwise.py: one program for all rates. `fixed rate` is compiled again for each rate: on
TensorFlow the native kernel between space-to-batch and back, with its own gradient; on JAX padding and nine slices
with the automatic gradient. `native, any rate` (TensorFlow) gives the rate to space-to-batch when it runs. The floor
reads one array of the features' size and writes another, three times for the sum, at the speed at which the backend
adds 1 to such an array. Shown are the median and the largest over the rates of the medians over the rounds.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
from absl import app, flags
from keras import ops

from deeplab_dpc.arch.operations.atrous_conv import RATES
from deeplab_dpc.console import print_table
from deeplab_dpc.layers import depthwise

_SIZES = flags.DEFINE_list("sizes", ["23x31", "49x49", "65x65", "97x97", "129x129"], "Heights x widths.")
_RATES = flags.DEFINE_list("rates", [], "Rates shown, as 6x21; by default a few of all 64, which are summarised.")
_CHANNELS = flags.DEFINE_integer("channels", 256, "Channels.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Images at a time.")
_DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "Of the features; the kernel is float32.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Alternations, of which the median counts.")

SHOWN = ((1, 1), (1, 6), (6, 1), (6, 6), (12, 12), (6, 21), (21, 6), (21, 21))
PARTS = ("forward", "by features", "by kernel")
Tensor = Any
Conv = Callable[[Tensor, Tensor, Tensor], Tensor]
JAX = keras.backend.backend() == "jax"
if JAX:
    import jax
else:
    import tensorflow as tf


def _slices(x: Tensor, kernel: Tensor, rate: tuple[int, int]) -> Tensor:
    """Computes the convolution by padding and nine slices; the rate is part of the program."""
    (rate_h, rate_w), (height, width) = rate, x.shape[1:3]
    padded = ops.pad(ops.cast(x, "float32"), ((0, 0), (rate_h, rate_h), (rate_w, rate_w), (0, 0)))
    taps = (
        padded[:, i * rate_h : i * rate_h + height, j * rate_w : j * rate_w + width] * kernel[i, j, :, 0]
        for i, j in itertools.product(range(3), range(3))
    )
    return ops.cast(sum(taps), x.dtype)


def _native(x: Tensor, kernel: Tensor, rate: tuple[int, int]) -> Tensor:
    return ops.depthwise_conv(x, ops.cast(kernel, x.dtype), padding="same", dilation_rate=rate)


def _native_any_rate(x: Tensor, kernel: Tensor, rate: Tensor) -> Tensor:
    """Computes the convolution by the native kernel between space-to-batch and back; the rate is a tensor."""
    size = tf.shape(x)[1:3]
    paddings = tf.stack([rate, rate + -size % rate], axis=1)
    cells = tf.space_to_batch_nd(x, rate, paddings)
    y = tf.nn.depthwise_conv2d(cells, tf.cast(kernel, x.dtype), [1, 1, 1, 1], "VALID")
    return tf.ensure_shape(tf.batch_to_space(y, rate, tf.stack([tf.zeros_like(size), -size % rate], axis=1)), x.shape)


def _by_features(conv: Conv) -> Callable:
    def gradient(x, kernel, upstream, rate):
        if JAX:
            return jax.vjp(lambda x: conv(x, kernel, rate), x)[1](upstream)[0]
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = conv(x, kernel, rate)
        return tape.gradient(y, x, upstream)

    return gradient


def _by_kernel(conv: Conv) -> Callable:
    def gradient(x, kernel, upstream, rate):
        if JAX:
            return jax.vjp(lambda kernel: conv(x, kernel, rate), kernel)[1](upstream)[0]
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            y = conv(x, kernel, rate)
        return tape.gradient(y, kernel, upstream)

    return gradient


def _programs(conv: Conv, rate: tuple[int, int] | None = None) -> list[Callable]:
    """Returns the program of each of PARTS from (x, kernel, upstream, rate); compiled for one rate if it is given."""
    of_rate = conv if rate is None else lambda x, kernel, _: conv(x, kernel, rate)
    parts = (lambda x, kernel, upstream, rate: of_rate(x, kernel, rate), _by_features(of_rate), _by_kernel(of_rate))
    return [jax.jit(part) if JAX else tf.function(part, autograph=False) for part in parts]


def _milliseconds(run: Callable, *arguments: Tensor) -> float:
    start = time.perf_counter()
    result = run(*arguments)
    if JAX:
        jax.block_until_ready(result)
    else:
        tf.test.experimental.sync_devices()
    return 1000 * (time.perf_counter() - start)


def _measure(size: tuple[int, int], rates: Iterable[tuple[int, int]]) -> tuple[dict, float]:
    """Returns milliseconds by form, part and rate, and of the floor of one part."""
    rng = np.random.default_rng(0)
    shape = (_BATCH_SIZE.value, *size, _CHANNELS.value)
    x, upstream = (ops.cast(rng.normal(size=shape).astype("float32"), _DTYPE.value) for _ in range(2))
    kernel = ops.convert_to_tensor(rng.normal(size=(3, 3, shape[-1], 1)).astype("float32"))
    any_rate = {"any rate": _programs(depthwise.any_rate)}
    if not JAX:
        any_rate["native, any rate"] = _programs(_native_any_rate)
    copy = jax.jit(lambda x: x + 1) if JAX else tf.function(lambda x: x + 1, autograph=False)
    times: dict[str, dict[tuple[str, tuple[int, int]], float]] = {name: {} for name in (*any_rate, "fixed rate")}
    copies = [_milliseconds(copy, x) for _ in range(_ROUNDS.value + 1)]
    for rate in rates:
        forms = any_rate | {"fixed rate": _programs(_slices if JAX else _native, rate)}
        arguments = x, kernel, upstream, ops.convert_to_tensor(np.array(rate, "int32"))
        for k, part in enumerate(PARTS):
            rounds: dict[str, list[float]] = {name: [] for name in forms}
            for i in range(_ROUNDS.value + 1):
                copies.append(_milliseconds(copy, x))
                for name, programs in forms.items():
                    spent = _milliseconds(programs[k], *arguments)
                    if i:  # the first compiles
                        rounds[name].append(spent)
            for name in forms:
                times[name][part, rate] = statistics.median(rounds[name])
    return times, statistics.median(copies[1:])


def _figures(times: dict[tuple[str, tuple[int, int]], float], rates: list[tuple[int, int]]) -> list[str]:
    """Returns the times of each part and their sum: the median over the rates and, of several, the largest."""
    columns = [[times[part, rate] for rate in rates] for part in PARTS]
    columns.append([sum(values) for values in zip(*columns, strict=True)])
    return [
        f"{statistics.median(values):.1f}" + (f" ({max(values):.1f})" if len(values) > 1 else "") for values in columns
    ]


def _pair(text: str) -> tuple[int, int]:
    height, width = text.split("x")
    return int(height), int(width)


def main(argv) -> None:
    """Prints a table for each size."""
    given = [_pair(text) for text in _RATES.value]
    rates = given or list(itertools.product(RATES, RATES))
    for size in map(_pair, _SIZES.value):
        times, floor = _measure(size, rates)
        rows = []
        for name, of_form in times.items():
            rows.append((name, f"median of {len(rates)} (largest)", *_figures(of_form, rates)))
            rows += [(name, f"{rate[0]} x {rate[1]}", *_figures(of_form, [rate])) for rate in given or SHOWN]
        rows.append(("floor", "any", *(f"{floor:.1f}" for _ in PARTS), f"{3 * floor:.1f}"))
        title = f"{size[0]} x {size[1]} x {_CHANNELS.value}, batch {_BATCH_SIZE.value}, {_DTYPE.value}, milliseconds"
        print_table(f"{title} ({keras.backend.backend()})", ("form", "rate", *PARTS, "sum"), rows)


if __name__ == "__main__":
    app.run(main)
