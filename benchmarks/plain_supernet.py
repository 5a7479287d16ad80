"""The supernet of Auto-DeepLab as in the paper's equations, each operator of each edge computed separately, on
TensorFlow.

The project's form is compared with it: in speed by supernet.py, in value by the tests. All weights and statistics are
named PART/block{i}/state{j}/NAME for the edges and PART/NAME otherwise, where a part is the stem, a connection or a
head.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab_dpc.search.auto_deeplab.supernet import Supernet

STRIDES = (4, 8, 16, 32)
EPSILON = 1e-3
Arrays = dict[str, Any]


class BatchNorm:
    """Batch norm: gamma * (x - mean) / sqrt(variance + epsilon) + beta.

    Args:
      known: statistics by NAME/mean and NAME/variance; None for those of the batch, which are then in `found`.
    """

    def __init__(self, known: Arrays | None = None):
        self.known = known
        self.found: Arrays = {}

    def __call__(self, name: str, x: Any, gamma: Any = None, beta: Any = None) -> Any:
        gamma = tf.ones(x.shape[-1]) if gamma is None else gamma
        beta = tf.zeros(x.shape[-1]) if beta is None else beta
        if self.known is not None:
            deviation = tf.sqrt(self.known[f"{name}/variance"] + EPSILON)
            return gamma * (x - self.known[f"{name}/mean"]) / deviation + beta
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=EPSILON, is_training=True
        )
        self.found |= {f"{name}/mean": mean, f"{name}/variance": variance}
        return y


def operators(x: Any, weights: Arrays, edge: str, norm: BatchNorm) -> list[Any]:
    """Returns the outputs of the eight operators of an edge, in the order of the alphas' columns (arXiv:1901.02985,
    Sec. 3.1).
    """
    outputs = []
    for size in (3, 5):
        y = x
        for i in (1, 2):
            name = f"{edge}/separable_{size}x{size}_{i}"
            y = tf.nn.depthwise_conv2d(tf.nn.relu(y), weights[f"{name}/depthwise_kernel"], [1, 1, 1, 1], "SAME")
            y = norm(name, tf.nn.conv2d(y, weights[f"{name}/pointwise_kernel"], 1, "SAME"))
        outputs.append(y)
    for size in (3, 5):
        name = f"{edge}/atrous_{size}x{size}"
        outputs.append(norm(name, convolution(tf.nn.relu(x), weights[f"{name}/kernel"], rate=2)))
    outputs.append(norm(f"{edge}/avg_pool_3x3", tf.nn.avg_pool2d(x, 3, 1, "SAME")))
    outputs.append(norm(f"{edge}/max_pool_3x3", tf.nn.max_pool2d(x, 3, 1, "SAME")))
    return [*outputs, x, tf.zeros_like(x)]


def cell(previous: Any, before: Any, weights: Arrays, part: str, alphas: Any, norm: BatchNorm, num_blocks: int) -> Any:
    """Returns the concatenated blocks of a cell with states 0 and 1 as given, mixed by alphas [edges, operators]."""
    states, row = [previous, before], 0
    for block in range(num_blocks):
        total = 0.0
        for state, x in enumerate(list(states)):
            for k, y in enumerate(operators(x, weights, f"{part}/block{block}/state{state}", norm)):
                total += alphas[row, k] * y
            row += 1
        states.append(total)
    return tf.concat(states[2:], axis=-1)


def entry(previous: Any, before: Any, weights: Arrays, part: str, down: bool, size: Any, norm: BatchNorm) -> Any:
    """Returns states 0 and 1 of a connection's cell at `size`."""
    if not down:
        previous = resize(previous, size)
    newer = conv_bn(tf.nn.relu(previous), weights, f"{part}/previous", norm, strides=2 if down else 1)
    return newer, conv_bn(tf.nn.relu(resize(before, size)), weights, f"{part}/before", norm)


def stem(images: Any, weights: Arrays, norm: BatchNorm) -> tuple[Any, Any]:
    """Computes outputs at strides 2 and 4 from images in 0..255."""
    half = conv_bn(images / 127.5 - 1.0, weights, "stem/conv0", norm, strides=2)
    return half, conv_bn(tf.nn.relu(half), weights, "stem/conv1", norm, strides=2)


def head(x: Any, weights: Arrays, stride: int, norm: BatchNorm) -> Any:
    """Returns the logits of one stride, at that stride."""
    part, x = f"head{stride}", tf.nn.relu(x)
    pooled = conv_bn(tf.reduce_mean(x, (1, 2), keepdims=True), weights, f"{part}/image_pooling", norm)
    branches = [
        conv_bn(x, weights, f"{part}/conv1x1", norm),
        conv_bn(x, weights, f"{part}/atrous", norm, rate=96 // stride),
        tf.broadcast_to(pooled, x.shape),
    ]
    joined = tf.nn.relu(tf.concat(branches, axis=-1))
    return tf.nn.conv2d(joined, weights[f"{part}/logits/kernel"], 1, "SAME") + weights[f"{part}/logits/bias"]


def supernet(
    images: Any, weights: Arrays, alphas: Any, betas: Any, num_layers: int, num_blocks: int, norm: BatchNorm
) -> Any:
    """Computes logits at stride 4 from images [batch, height, width, 3] in 0..255, for sides 32k + 1.

    Args:
      images, weights, norm: images, weights and batch norm, see above.
      alphas, betas: probabilities, as the project's supernet takes them.
      num_layers, num_blocks: numbers of layers and blocks of the search space.
    """
    half, quarter = stem(images, weights, norm)
    sizes = [tuple((side - 1) // stride + 1 for side in images.shape[1:3]) for stride in STRIDES]
    outputs = {-1: {0: half}, 0: {0: quarter}}
    for layer in range(1, num_layers + 1):
        outputs[layer] = {}
        for target in range(min(layer + 1, 4)):
            sources = [source for source in (target - 1, target, target + 1) if source in outputs[layer - 1]]
            older = outputs[layer - 2]
            before = older.get(target, older[max(older)])
            total = 0.0
            for source in sources:
                part = f"layer{layer}/{STRIDES[source]}to{STRIDES[target]}"
                inputs = outputs[layer - 1][source], before
                states = entry(*inputs, weights, part, target > source, sizes[target], norm)
                y = cell(*states, weights, part, alphas, norm, num_blocks)
                total += betas[layer - 1, source, 1 + target - source] * y
            outputs[layer][target] = total
    logits = [resize(head(x, weights, STRIDES[level], norm), sizes[0]) for level, x in outputs[num_layers].items()]
    return tf.add_n(logits)


def convolution(x: Any, kernel: Any, strides: int = 1, rate: int = 1) -> Any:
    """Computes a convolution; a strided one is padded by half its kernel on both sides."""
    if strides > 1:
        side = kernel.shape[0] // 2
        return tf.nn.conv2d(tf.pad(x, [[0, 0], [side, side], [side, side], [0, 0]]), kernel, strides, "VALID")
    return tf.nn.conv2d(x, kernel, 1, "SAME", dilations=rate)


def conv_bn(x: Any, weights: Arrays, name: str, norm: BatchNorm, strides: int = 1, rate: int = 1) -> Any:
    """Computes convolution and batch norm with scale and offset."""
    y = convolution(x, weights[f"{name}/kernel"], strides, rate)
    return norm(name, y, weights[f"{name}/gamma"], weights[f"{name}/beta"])


def resize(x: Any, size: Any) -> Any:
    """Resizes bilinearly with aligned corners."""
    return tf.raw_ops.ResizeBilinear(images=x, size=size, align_corners=True)


def plain_weights(project: Supernet, vector: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the project's weights, divided into those of each edge."""
    return _cut(project, project.weight_shapes, vector)


def plain_statistics(project: Supernet, vector: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the project's moving averages, divided into those of each edge."""
    return _cut(project, project.statistics_shapes, vector)


def edges_of(name: str, array: np.ndarray, num_blocks: int) -> dict[str, np.ndarray]:
    """Returns the parts of an array named state{j}/NAME, named block{i}/state{j}/NAME for all blocks i that read the
    state j.
    """
    state, leaf = name.split("/", 1)
    blocks = [block for block in range(num_blocks) if int(state.removeprefix("state")) < 2 + block]
    if "_pool_" in leaf:  # the same on each edge
        return {f"block{block}/{name}": array for block in blocks}
    if leaf.endswith("pointwise_kernel"):
        parts = [matrix[np.newaxis, np.newaxis] for matrix in array]
    else:
        parts = np.split(array, len(blocks), axis=2 if leaf.endswith("depthwise_kernel") else -1)
    return {f"block{block}/{name}": part for block, part in zip(blocks, parts, strict=True)}


def _cut(project: Supernet, shapes: Mapping[str, Any], vector: np.ndarray) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    place = 0
    for part, own in shapes.items():
        for name, shape in own.items():
            array = np.asarray(vector[place : place + math.prod(shape)]).reshape(shape)
            place += math.prod(shape)
            of_edges = edges_of(name, array, project.num_blocks) if name.startswith("state") else {name: array}
            found |= {f"{part}/{each}": value for each, value in of_edges.items()}
    return found
