"""What the published TensorFlow 1 code computes for a cell and a path, as plain functions of `tf.nn` ops: an oracle.

Read off tensorflow/models (research/deeplab/core/nas_cell.py and nas_network.py), and not off our layers; there the
operators and the path are lists too, so that it says what any genotype is. Every variable is fetched by the name that
it has in a published checkpoint. Tensors are [batch, height, width, channels].
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

Get = Callable[[str, tuple[int, ...]], Any]
EPSILON = np.float32(1e-3)


def batch_norm(get: Get, x, scope: str):
    leaves = ("moving_mean", "moving_variance", "beta", "gamma")
    mean, variance, beta, gamma = (get(f"{scope}/{leaf}", (x.shape[-1],)) for leaf in leaves)
    return (x - mean) / np.sqrt(variance + EPSILON) * gamma + beta


def conv(get: Get, x, scope: str, filters: int, kernel: int, stride: int = 1, rate: int = 1):
    weights = get(f"{scope}/weights", (kernel, kernel, x.shape[-1], filters))
    return tf.nn.conv2d(x, weights, stride, "SAME", dilations=rate)


def separable(get: Get, x, scope: str, filters: int, kernel: int, stride: int):
    depthwise = get(f"{scope}/depthwise_weights", (kernel, kernel, x.shape[-1], 1))
    pointwise = get(f"{scope}/pointwise_weights", (1, 1, x.shape[-1], filters))
    padding = "SAME"
    if stride > 1:
        side = kernel // 2
        x, padding = tf.pad(x, [[0, 0], [side, side], [side, side], [0, 0]]), "VALID"
    return tf.nn.separable_conv2d(x, depthwise, pointwise, [1, stride, stride, 1], padding)


def resize(x, size):
    return tf.compat.v1.image.resize_bilinear(x, size, align_corners=True)


def operator(get: Get, x, name: str, scope: str, filters: int, stride: int):
    kind, size = name.split("_")[0], name[-1]
    if kind == "separable":
        for i in (1, 2):
            x = separable(get, tf.nn.relu(x), f"{scope}/{name}_{i}", filters, int(size), stride if i == 1 else 1)
            x = batch_norm(get, x, f"{scope}/bn_sep_{size}x{size}_{i}")
        return x
    if kind == "atrous":
        x = tf.nn.relu(x)
        if stride == 2:
            x = resize(x, [int((side - 1) * 0.5 + 1) for side in x.shape[1:3]])
        x = conv(get, x, f"{scope}/{name}", filters, int(size), rate=2 if stride == 1 else 1)
        return batch_norm(get, x, f"{scope}/bn_atr_{size}x{size}")
    if kind == "skip":
        if stride == 1:
            return x
        return batch_norm(get, conv(get, tf.nn.relu(x), f"{scope}/1x1", filters, 1, stride), f"{scope}/bn_1")
    return (tf.nn.avg_pool2d if kind == "avg" else tf.nn.max_pool2d)(x, 3, stride, "SAME")


def cell(get: Get, x, before, blocks: list[dict[str, Any]], scope: str, filters: int, stride: int):
    if x.shape[2] != before.shape[2]:
        before = resize(before, x.shape[1:3])
    if before.shape[-1] != filters:
        before = conv(get, tf.nn.relu(before), f"{scope}/prev_1x1", filters, 1)
        before = batch_norm(get, before, f"{scope}/prev_bn")
    x = batch_norm(get, conv(get, tf.nn.relu(x), f"{scope}/1x1", filters, 1), f"{scope}/beginning_bn")
    states = [x, before]
    for i, block in enumerate(blocks):
        states.append(
            sum(
                operator(
                    get,
                    states[edge["state"]],
                    edge["operator"],
                    f"{scope}/comb_iter_{i}/{side}",
                    filters,
                    stride if edge["state"] < 2 else 1,
                )
                for side, edge in block.items()
            )
        )
    return tf.concat(states[2:], axis=-1)


def auto_deeplab(get: Get, image, genotype: dict[str, Any], filters: int) -> tuple[Any, list[Any]]:
    """The features, and the outputs of the stem and of each cell, for an image with values in [-1, 1].

    `get` gives a variable for its published name and shape; `genotype` is JSON.
    """
    x = tf.nn.relu(batch_norm(get, conv(get, image, "hnasnet/conv0", 64, 3, 2), "hnasnet/conv0_bn"))
    outputs = [batch_norm(get, conv(get, x, "hnasnet/conv1", 64, 3), "hnasnet/conv1_bn")]
    x = batch_norm(get, conv(get, tf.nn.relu(outputs[0]), "hnasnet/conv2", 128, 3, 2), "hnasnet/conv2_bn")
    outputs.append(x)
    level = 0
    for i, following in enumerate(genotype["path"]):
        if following < level:
            x = resize(x, [int((side - 1) * 2 + 1) for side in x.shape[1:3]])
        stride = 2 if following > level else 1
        x = cell(get, x, outputs[-2], genotype["blocks"], f"hnasnet/cell_{i}", filters * 2**following, stride)
        outputs.append(x)
        level = following
    return tf.nn.relu(x), outputs
