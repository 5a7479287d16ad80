"""The operations whose fastest correct form depends on the backend; depthwise.py and jax_batch_norm.py have others.

On TensorFlow the native kernels are used: the fused batch norm, the atrous depthwise convolution (which XLA makes 20 to
100 times slower on the CPU), the align-corners resize of version 1. Elsewhere they are written in keras.ops. Sums are
in float32 whatever the inputs' dtype. Results that depend on the whole batch are the same on one device and on several.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from deeplab_dpc.layers import depthwise
from deeplab_dpc.layers.interpolation import interpolated_argmax, interpolation_matrix
from deeplab_dpc.layers.types import Tensor

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
else:
    import jax
    from jax.ad_checkpoint import checkpoint_name

    from deeplab_dpc.layers import jax_batch_norm

    tf = None

JIT_COMPILE = tf is None


def fused(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Returns the same function of tensors of static shape, computed in as few passes over memory as XLA allows.

    On TensorFlow it becomes an XLA cluster in the graph; elsewhere the whole step is compiled anyway.
    """
    return function if tf is None else tf.function(function, jit_compile=True, autograph=False)


KEPT = "kept"


def kept(x: Tensor) -> Tensor:
    """Returns `x`, marked so that a gradient through `switch` stores it instead of computing it again."""
    return x if tf is not None else checkpoint_name(x, KEPT)


def switch(index: Tensor, cases: Sequence[Callable[[], Any]]) -> Any:
    """Returns the result of one of the cases.

    For the gradient, JAX stores the intermediate values of all cases, filled with zeros for those that are not taken.
    The cases are therefore recomputed for the gradient, except for tensors that are marked by `kept`. TensorFlow stores
    the values of the case that is taken.
    """
    if tf is not None:
        return ops.switch(index, cases)
    policy = jax.checkpoint_policies.save_only_these_names(KEPT)
    return jax.lax.switch(index, [jax.checkpoint(case, prevent_cse=False, policy=policy) for case in cases])


# Classes of errors that may mean exhausted memory; JAX has no class of its own for it.
MEMORY_ERRORS: tuple[type[Exception], ...] = (MemoryError, RuntimeError)
if tf is not None:
    MEMORY_ERRORS += (tf.errors.ResourceExhaustedError,)


def is_out_of_memory(error: Exception) -> bool:
    """Returns whether one of MEMORY_ERRORS means that the memory of the device, or of the process, is exhausted."""
    return not isinstance(error, RuntimeError) or "RESOURCE_EXHAUSTED" in str(error)


# Alignment in bytes of arrays whose memory a tensor on a CPU can share.
ALIGNMENT = 64
# Assumed memory of a GPU in bytes if the backend does not report it: TensorFlow reports only the memory in use.
ASSUMED_ACCELERATOR_MEMORY = 2**33


def to_device(array: np.ndarray) -> Tensor:
    """Returns the array as a tensor on the device; on a CPU it shares the memory of an aligned array, also of a
    memory-mapped file.
    """
    array = np.asarray(array)  # neither backend knows np.memmap
    if tf is None:
        return jax.device_put(array)
    # tf.convert_to_tensor would copy it.
    return tf.raw_ops.Identity(input=array)


def free_accelerator_memory() -> int | None:
    """Returns the free memory of the accelerator that computes, in bytes; None if the CPU computes."""
    if tf is not None:
        if not tf.config.list_logical_devices("GPU"):
            return None
        in_use: int = tf.config.experimental.get_memory_info("GPU:0")["current"]
        return ASSUMED_ACCELERATOR_MEMORY - in_use
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return None
    stats = device.memory_stats()
    return ASSUMED_ACCELERATOR_MEMORY if stats is None else stats["bytes_limit"] - stats["bytes_in_use"]


def kept_memory() -> int:
    """Returns the bytes that TensorFlow's CPU allocator keeps for further tensors; 0 if it keeps none, which is the
    default.
    """
    if tf is None:
        return 0
    try:
        stats = tf.config.experimental.get_memory_info("CPU:0")
    except ValueError:  # the default allocator has no statistics
        return 0
    kept: int = stats["peak"] - stats["current"]
    return kept


def _replica() -> Any:
    """Returns the replica in which this code runs if a tf.distribute strategy has several; otherwise None.

    JAX does not need it: a step over several devices computes what one device would.
    """
    if tf is None:
        return None
    replica = tf.distribute.get_replica_context()
    return replica if replica is not None and replica.num_replicas_in_sync > 1 else None


def batch_uniform(shape: tuple[Any, ...], seed: keras.random.SeedGenerator) -> Tensor:
    """Returns float32 random numbers [batch, ...] in [0, 1); each replica gets its rows of the global batch's
    numbers.
    """
    replica = _replica()
    if replica is None:
        return keras.random.uniform(shape, seed=seed, dtype="float32")
    rows = shape[0]
    numbers = keras.random.uniform((rows * replica.num_replicas_in_sync, *shape[1:]), seed=seed, dtype="float32")
    first = replica.replica_id_in_sync_group * rows
    return numbers[first : first + rows]


def batch_norm_training(x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Normalises with the statistics of the batch; with several replicas, those of the global batch.

    Args:
      x: features [batch, height, width, channels], any floating dtype, of equal size in each replica.
      gamma, beta: scale and offset, float32 [channels].
      epsilon: number added to the variance, > 0.

    Returns:
      The normalised `x`, the batch mean, and the unbiased batch variance (n / (n - 1)), as the published moving
      averages use it; both float32 [channels].
    """
    replica = _replica()
    if tf is not None and replica is None:
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=epsilon, is_training=True
        )
        return y, mean, variance
    count = ops.shape(x)[0] * ops.shape(x)[1] * ops.shape(x)[2]
    if replica is None:
        gamma, beta = ops.convert_to_tensor(gamma), ops.convert_to_tensor(beta)
        y, mean, variance = jax_batch_norm.batch_norm(x, gamma, beta, epsilon)
    else:
        wide = ops.cast(x, "float32")
        own_mean, own_variance = ops.moments(wide, axes=(0, 1, 2))
        # Differences from the global mean instead of means of squares, which would cancel.
        mean = replica.all_reduce(tf.distribute.ReduceOp.MEAN, own_mean)
        variance = replica.all_reduce(tf.distribute.ReduceOp.MEAN, own_variance + ops.square(own_mean - mean))
        y = ops.cast((wide - mean) * (ops.rsqrt(variance + epsilon) * gamma) + beta, x.dtype)
        count = count * replica.num_replicas_in_sync
    count = ops.cast(count, "float32")
    return y, mean, variance * (count / ops.maximum(count - 1.0, 1.0))


def batch_norm_inference(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor, epsilon: float
) -> Tensor:
    """Normalises [batch, height, width, channels] with given float32 statistics; gradients reach gamma and beta."""
    if tf is not None:
        return tf.raw_ops.FusedBatchNormV3(
            x=x, scale=gamma, offset=beta, mean=mean, variance=variance, epsilon=epsilon, is_training=False
        )[0]
    scale = ops.rsqrt(variance + epsilon) * gamma
    return ops.cast(ops.cast(x, "float32") * scale + (beta - mean * scale), x.dtype)


def add_bias(x: Tensor, bias: Tensor) -> Tensor:
    """Returns [batch, height, width, channels] + [channels] in the dtype of `x`; TensorFlow fuses it into a
    convolution.
    """
    bias = ops.cast(bias, x.dtype)
    return x + bias if tf is None else tf.nn.bias_add(x, bias)


def depthwise_conv(
    x: Tensor, kernel: Tensor, strides: int = 1, rate: tuple[int, int] = (1, 1), padding: str = "same"
) -> Tensor:
    """Computes a depthwise convolution with an atrous rate (rate_h, rate_w) in feature-map cells.

    Args:
      x: features [batch, height, width, channels].
      kernel: [kernel_h, kernel_w, channels, 1], both sides odd.
      padding: 'same', or 'valid' if `x` is already padded.
    """
    if tf is not None or strides != 1 or padding == "valid":
        return ops.depthwise_conv(x, kernel, strides=strides, padding=padding, dilation_rate=rate)
    return depthwise.any_rate(x, kernel, rate)


def resize_align_corners(x: Tensor, height: Any, width: Any) -> Tensor:
    """Resizes [batch, h, w, channels] bilinearly to [batch, height, width, channels], with aligned corners."""
    if tf is not None:
        # The kernel computes in float32 and returns float32 for every input dtype.
        resized = tf.raw_ops.ResizeBilinear(images=x, size=ops.stack([height, width]), align_corners=True)
        return ops.cast(resized, x.dtype)
    vertical, horizontal = interpolation_matrix(x.shape[1], height), interpolation_matrix(x.shape[2], width)
    return ops.cast(ops.einsum("Hh,bhwc,Ww->bHWc", vertical, ops.cast(x, "float32"), horizontal), x.dtype)


def argmax(x: Tensor) -> Tensor:
    """Returns the index of the largest value along the last axis, int32.

    Keras' own function takes three times as long, because it distinguishes -0.0 from 0.0.
    """
    return ops.cast(ops.argmax(x, axis=-1), "int32") if tf is None else tf.argmax(x, axis=-1, output_type="int32")


def upsampled_argmax(x: Tensor, factor: int, height: Any, width: Any) -> Tensor:
    """Returns argmax(resize_align_corners(x)), where every cell between four points becomes factor x factor pixels,
    cropped.

    If a channel is the largest at all four corners of a cell, it is the largest in the whole cell, since interpolation
    is a weighted mean. On TensorFlow only the other cells are interpolated, and the result is exactly that of
    interpolating all. Elsewhere all cells are interpolated (interpolated_argmax).

    Args:
      x: logits [batch, h, w, channels].
      factor: pixels per cell along each axis, >= 1.
      height, width: size of the crop from the top left of (h - 1) * factor + 1 by (w - 1) * factor + 1 pixels.

    Returns:
      int32 [batch, height, width].
    """
    batch, h, w, channels = ops.shape(x)
    if tf is None:
        return ops.map(lambda image: interpolated_argmax(image, factor)[:height, :width], x)
    # The last row and column are repeated, so that each point begins a cell; the excess is cut off.
    x = tf.concat([x, x[:, -1:]], axis=1)
    x = tf.concat([x, x[:, :, -1:]], axis=2)
    # One byte per id if that is enough, since most of the time is spent on moving the ids.
    small = tf.uint8 if channels <= 256 else tf.int32
    top = tf.cast(argmax(x), small)
    own = top[:, :-1, :-1]
    mixed = tf.where((own != top[:, 1:, :-1]) | (own != top[:, :-1, 1:]) | (own != top[:, 1:, 1:]))
    corners = tf.stack([tf.gather_nd(x, mixed + [0, i, j]) for i in (0, 1) for j in (0, 1)], axis=1)
    corners = tf.reshape(corners, [-1, 2, 2, channels])
    inside = tf.cast(argmax(resize_align_corners(corners, factor + 1, factor + 1)), small)[:, :factor, :factor]
    cells = tf.broadcast_to(own[..., tf.newaxis, tf.newaxis], [batch, h, w, factor, factor])
    cells = tf.transpose(tf.tensor_scatter_nd_update(cells, mixed, inside), [0, 1, 3, 2, 4])
    return tf.cast(tf.reshape(cells, [batch, h * factor, w * factor])[:, :height, :width], tf.int32)


def count_values(x: Tensor, size: int) -> Tensor:
    """Returns the numbers of occurrences of 0 .. size - 1 in `x`: int32 [n] -> int32 [size]; larger values are not
    counted.
    """
    if tf is not None:
        return tf.math.bincount(x, minlength=size, maxlength=size)
    return ops.segment_sum(ops.ones(x.shape, "int32"), x, num_segments=size)


def after(x: Tensor, other: Tensor) -> Tensor:
    """Returns `x`, available only once `other` is computed; XLA itself orders computations by the memory they need."""
    if tf is None:
        return x
    with tf.control_dependencies([other]):
        return tf.identity(x)


def cross_entropy(labels: Tensor, logits: Tensor) -> Tensor:
    """Returns -log softmax(logits)[labels] in float32: int labels [...], logits [..., classes] -> [...]."""
    logits = ops.cast(logits, "float32")
    if tf is not None:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    chosen = ops.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    return ops.logsumexp(logits, axis=-1) - chosen
