"""Atrous depthwise convolution whose rate is known only at run time: one compiled program serves every rate.

Each tap (i, j) of the kernel reads the features `rate * (i - centre)` rows and columns away. The rows and columns are
gathered at clipped indices and positions outside are masked, so that nothing is padded and XLA makes one loop of all
taps. The gradients are written by hand. The gradient of the features is the same convolution with the kernel rotated by
180 degrees; the gradient of the kernel is a loop over the rows, which keeps the partial sums of every column in the
cache. Sums are in float32.
"""

from typing import Any

import keras
from keras import ops

from deeplab_dpc.layers.types import Tensor

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
else:
    import jax

    tf = None

# Rows that one iteration of the loop for the kernel's gradient adds: 1 takes 1.5 times as long; 8 takes longer, too,
# also to compile.
ROWS_OF_A_TURN = 4


def any_rate(x: Tensor, kernel: Tensor, rate: Tensor) -> Tensor:
    """Computes a depthwise convolution with stride 1 and zeros outside ('same'), compiled by XLA on either backend.

    Args:
      x: features [batch, height, width, channels], any floating dtype.
      kernel: [kernel_h, kernel_w, channels, 1], any floating dtype; both sides odd.
      rate: int32 [2], (rate_h, rate_w) >= 1 in feature-map cells; may be a tensor known only at run time.

    Returns:
      [batch, height, width, channels] in the dtype of `x`. The gradients have the dtypes of `x` and `kernel`; the
      one of `x` is not computed if only the kernel's is used.

    Raises:
      ValueError: if a side of the kernel is even.
    """
    if kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:
        raise ValueError(f"The sides of `kernel` must be odd, got {tuple(kernel.shape[:2])}.")
    return _differentiable(x, kernel, ops.convert_to_tensor(rate, dtype="int32"))


def _take(x: Tensor, indices: Tensor, axis: int) -> Tensor:
    """Returns the slices of `x` at valid `indices` along an axis (keras.ops.take would check the indices again)."""
    return jax.numpy.take(x, indices, axis, mode="clip") if tf is None else tf.gather(x, indices, axis=axis)


def _shifts(first: Any, count: Any, size: Any, taps: int, rate: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Returns the indices that each tap along an axis of `size` reads from position `first` on.

    Returns:
      For each tap the clipped indices, and whether they are inside; both [count].
    """
    places = ops.arange(count, dtype="int32") + first
    read = [places + (tap - taps // 2) * rate for tap in range(taps)]
    return [(ops.clip(index, 0, size - 1), (index >= 0) & (index < size)) for index in read]


def _masked(tap: Tensor, row_inside: Tensor, column_inside: Tensor) -> Tensor:
    """Returns `tap` [batch, height, width, channels], set to zero where its row or its column is outside."""
    return ops.where((row_inside[:, None] & column_inside)[None, :, :, None], tap, 0.0)


def _rows_of_output(x: Tensor, kernel: Tensor, rate: Tensor, first: Any, count: Any) -> Tensor:
    """Returns the convolution at rows first, ..., first + count - 1: [batch, count, width, channels] in the dtype of
    `x`.
    """
    _, height, width, _ = ops.shape(x)
    wide, wide_kernel = ops.cast(x, "float32"), ops.cast(kernel, "float32")
    rows = _shifts(first, count, height, kernel.shape[0], rate[0])
    columns = _shifts(0, width, width, kernel.shape[1], rate[1])
    total = 0.0
    for i, (row, row_inside) in enumerate(rows):
        for j, (column, column_inside) in enumerate(columns):
            tap = _take(_take(wide, row, 1), column, 2)
            total = total + _masked(tap, row_inside, column_inside) * wide_kernel[i, j, :, 0]
    return ops.cast(total, x.dtype)


def _conv(x: Tensor, kernel: Tensor, rate: Tensor) -> Tensor:
    """Returns the convolution, in the dtype of `x`; on the CPU in a loop over two halves of the rows.

    The loop stops XLA's fusion, which would otherwise compute the input of the convolution nine times, and again for
    each consumer of the output (two convolutions in a row took 4 to 6 times as long). A loop of two iterations is not
    slower than no loop.
    """
    height = ops.shape(x)[1]
    if not _with_loops():
        return _rows_of_output(x, kernel, rate, 0, height)
    half = (height + 1) // 2

    def add_half(turn: Tensor, y: Tensor) -> Tensor:
        first = turn * (height - half)  # for an odd height, the middle row is computed twice
        return ops.slice_update(y, (0, first, 0, 0), _rows_of_output(x, kernel, rate, first, half))

    return ops.fori_loop(0, 2, add_half, ops.zeros_like(x))


def _turned(kernel: Tensor) -> Tensor:
    return ops.flip(kernel, (0, 1))


def _kernel_gradient(x: Tensor, upstream: Tensor, kernel: Tensor, rate: Tensor) -> Tensor:
    """Returns the gradient of the kernel, in its shape and dtype, from the gradient of the output (`upstream`, like
    `x`).
    """
    sums = (_sums_by_rows if _with_loops() else _sums_at_once)(x, upstream, kernel.shape[:2], rate)
    return ops.cast(ops.reshape(ops.stack(sums), kernel.shape), kernel.dtype)


def _with_loops() -> bool:
    """Returns whether the programs use loops, which they do on a single CPU. Only this function chooses between the two
    forms.

    Measured on 2 CPU cores (benchmarks/depthwise.py): XLA does not vectorise a sum over all but the last axis there,
    and nine of them take 5 to 15 times as long as the loop over rows; _conv explains why the convolution has a loop. On
    a GPU each iteration of a loop would be a kernel of its own, and XLA is expected to make one kernel of the nine sums
    and to fuse more carefully; this is not measured.
    """
    if tf is not None:
        return not tf.config.list_physical_devices("GPU")
    # If several devices share the images, they would have to add up the sums of each iteration.
    return bool(jax.default_backend() == "cpu" and jax.device_count() == 1)


def _sums_at_once(x: Tensor, upstream: Tensor, taps: tuple[int, int], rate: Tensor) -> list[Tensor]:
    """Returns the sum of features times upstream gradient for each tap, [channels], row by row of the kernel."""
    _, height, width, _ = ops.shape(x)
    wide, wide_upstream = ops.cast(x, "float32"), ops.cast(upstream, "float32")
    return [
        ops.sum(_masked(_take(_take(wide, row, 1), column, 2), row_inside, column_inside) * wide_upstream, (0, 1, 2))
        for row, row_inside in _shifts(0, height, height, taps[0], rate[0])
        for column, column_inside in _shifts(0, width, width, taps[1], rate[1])
    ]


def _sums_by_rows(x: Tensor, upstream: Tensor, taps: tuple[int, int], rate: Tensor) -> list[Tensor]:
    """Returns the same sums; partial sums of all columns stay in the cache while the rows of all images are read."""
    batch, height, width, channels = ops.shape(x)
    count = batch * height
    columns = _shifts(0, width, width, taps[1], rate[1])
    x_rows, upstream_rows = (ops.reshape(value, (count, width, channels)) for value in (x, upstream))

    def add_rows(turn: Tensor, sums: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        totals = list(sums)
        for row in range(ROWS_OF_A_TURN):
            index = ops.minimum(turn * ROWS_OF_A_TURN + row, count - 1)
            exists = turn * ROWS_OF_A_TURN + row < count
            own = ops.cast(_take(upstream_rows, index, 0), "float32")
            for i in range(taps[0]):
                shift = (i - taps[0] // 2) * rate[0]
                inside = exists & (index % height + shift >= 0) & (index % height + shift < height)
                other = ops.cast(_take(x_rows, index + ops.where(inside, shift, 0), 0), "float32")
                for j, (column, column_inside) in enumerate(columns):
                    product = ops.where((inside & column_inside)[:, None], _take(other, column, 0) * own, 0.0)
                    totals[i * taps[1] + j] = totals[i * taps[1] + j] + product
        return tuple(totals)

    # One accumulator per tap: a stacked one would be copied in every iteration of the loop.
    start = tuple(ops.zeros((width, channels), "float32") for _ in range(taps[0] * taps[1]))
    turns = (count + ROWS_OF_A_TURN - 1) // ROWS_OF_A_TURN
    return [ops.sum(total, axis=0) for total in ops.fori_loop(0, turns, add_rows, start)]


if tf is not None:
    _compiled_conv = tf.function(_conv, jit_compile=True)
    _compiled_kernel_gradient = tf.function(_kernel_gradient, jit_compile=True)

    def _with_gradients(x: Tensor, kernel: Tensor, rate: Tensor) -> Any:
        # Copies, here and below, since the gradient of a tf.switch_case accepts only tensors that operations of its
        # branch compute.
        saved = tf.identity(x), tf.identity(kernel), tf.identity(rate)

        def gradients(upstream: Tensor) -> tuple[Tensor, Tensor, None]:
            x, kernel, rate = (tf.identity(value) for value in saved)
            # Two programs, so that TensorFlow drops the one whose result is not used.
            by_x = _compiled_conv(upstream, _turned(kernel), rate)
            return by_x, _compiled_kernel_gradient(x, upstream, kernel, rate), None

        return _compiled_conv(*saved), gradients

    _differentiable = tf.custom_gradient(_with_gradients)

else:
    _compiled_conv = jax.jit(_conv)
    _compiled_kernel_gradient = jax.jit(_kernel_gradient)

    _differentiable = jax.custom_vjp(_compiled_conv)

    def _forward(x: Tensor, kernel: Tensor, rate: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return _compiled_conv(x, kernel, rate), (x, kernel, rate)

    def _gradients(saved: tuple[Tensor, ...], upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        x, kernel, rate = saved
        by_x = _compiled_conv(upstream, _turned(kernel), rate)
        return by_x, _compiled_kernel_gradient(x, upstream, kernel, rate), None

    _differentiable.defvjp(_forward, _gradients)
