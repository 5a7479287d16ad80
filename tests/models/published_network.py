"""Computes what the published TensorFlow 1 DeepLab does, by plain functions of `tf.nn` ops: an oracle for our models.

Read off tensorflow/models (research/deeplab/model.py and core/, research/slim/nets/mobilenet/), and not off our layers.
Every variable is fetched by the name that it has in a published checkpoint, so the names and shapes that a network
asks for are part of what it says. Tensors are [batch, height, width, channels].
"""

import functools
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

Get = Callable[[str, tuple[int, ...]], Any]
RELU = tf.nn.relu

# Blocks of (scope, depths of the three separable convolutions, shortcut, units, stride).
EXIT_FLOW = [("exit_flow/block1", (728, 1024, 1024), "conv", 1, 2), ("exit_flow/block2", (1536, 1536, 2048), "", 1, 1)]
ENTRY_FLOW = {
    "xception_41": [(128, 2), (256, 2), (728, 2)],
    "xception_65": [(128, 2), (256, 2), (728, 2)],
    "xception_71": [(128, 2), (256, 1), (256, 2), (728, 1), (728, 2)],
}
MIDDLE_UNITS = {"xception_41": 8, "xception_65": 16, "xception_71": 16}
RESNET_BLOCK3_UNITS = {"resnet_v1_50": 6, "resnet_v1_101": 23}
IMAGENET_MEAN = (123.15, 115.90, 103.06)
# Layers of (expansion, filters, stride), after the stem.
MOBILENET_V2 = [
    *[(1, 16, 1), (6, 24, 2), (6, 24, 1), (6, 32, 2), (6, 32, 1), (6, 32, 1), (6, 64, 2), (6, 64, 1), (6, 64, 1)],
    *[(6, 64, 1), (6, 96, 1), (6, 96, 1), (6, 96, 1), (6, 160, 2), (6, 160, 1), (6, 160, 1), (6, 320, 1)],
]
# Layers of (expansion, filters, kernel, stride, squeeze and excitation, hard swish); the "seg" variants halve the last
# layers, whose expansions keep to the halved inputs.
MOBILENET_V3: dict[str, list[tuple[float, int, int, int, int, int]]] = {
    "mobilenet_v3_large_seg": [
        *[(1, 16, 3, 1, 0, 0), (4, 24, 3, 2, 0, 0), (3, 24, 3, 1, 0, 0)],
        *[(3, 40, 5, 2, 1, 0), (3, 40, 5, 1, 1, 0), (3, 40, 5, 1, 1, 0)],
        *[(6, 80, 3, 2, 0, 1), (2.5, 80, 3, 1, 0, 1), (2.3, 80, 3, 1, 0, 1), (2.3, 80, 3, 1, 0, 1)],
        *[(6, 112, 3, 1, 1, 1), (6, 112, 3, 1, 1, 1), (3, 80, 5, 2, 1, 1), (6, 80, 5, 1, 1, 1), (6, 80, 5, 1, 1, 1)],
    ],
    "mobilenet_v3_small_seg": [
        *[(1, 16, 3, 2, 1, 0), (4.5, 24, 3, 2, 0, 0), (88 / 24, 24, 3, 1, 0, 0)],
        *[(4, 40, 5, 2, 1, 1), (6, 40, 5, 1, 1, 1), (6, 40, 5, 1, 1, 1), (3, 48, 5, 1, 1, 1), (3, 48, 5, 1, 1, 1)],
        *[(3, 48, 5, 2, 1, 1), (6, 48, 5, 1, 1, 1), (6, 48, 5, 1, 1, 1)],
    ],
}
# MobilenetEdgeTPU: the layers with a whole convolution (expansion, filters, stride), and those with a depthwise one
# (expansion, filters, kernel, stride, whether inputs are added).
EDGETPU_FUSED = [
    *[(1, 16, 1), (8, 32, 2), (4, 32, 1), (4, 32, 1), (4, 32, 1)],
    *[(8, 48, 2), (4, 48, 1), (4, 48, 1), (4, 48, 1)],
]
EDGETPU_DEPTHWISE = [
    *[(8, 96, 3, 2, 1), (4, 96, 3, 1, 1), (4, 96, 3, 1, 1), (4, 96, 3, 1, 1)],
    *[(8, 96, 3, 1, 0), (4, 96, 3, 1, 1), (4, 96, 3, 1, 1), (4, 96, 3, 1, 1)],
    *[(8, 160, 5, 2, 1), (4, 160, 5, 1, 1), (4, 160, 5, 1, 1), (4, 160, 5, 1, 1), (8, 192, 3, 1, 1)],
]
MOBILENET_V3_LAST = {"mobilenet_v3_large_seg": 480, "mobilenet_v3_small_seg": 288}
# The layer whose features a decoder stage reads at each stride: of an Xception the second separable convolution, of a
# ResNet the third convolution (before the addition), of a MobileNet the depthwise convolution.
LOW_LEVEL = {
    "mobilenet_v2": {4: "layer_4", 8: "layer_7", 16: "layer_14"},
    "mobilenet_v3_large_seg": {4: "layer_4", 8: "layer_7", 16: "layer_13"},
    "mobilenet_v3_small_seg": {4: "layer_2", 8: "layer_4", 16: "layer_9"},
    "resnet_v1_50": {4: "block1/unit_2", 8: "block2/unit_3", 16: "block3/unit_5"},
    "resnet_v1_101": {4: "block1/unit_2", 8: "block2/unit_3", 16: "block3/unit_22"},
    "xception_41": {4: "entry_flow/block2", 8: "entry_flow/block3", 16: "exit_flow/block1"},
    "xception_65": {4: "entry_flow/block2", 8: "entry_flow/block3", 16: "exit_flow/block1"},
    "xception_71": {4: "entry_flow/block3", 8: "entry_flow/block5", 16: "exit_flow/block1"},
}


class Variables:
    """Answers `get(name, shape)` with `fill(name, shape)` and keeps what was asked for in `arrays`."""

    def __init__(self, fill: Callable[[str, tuple[int, ...]], np.ndarray]):
        self.fill = fill
        self.arrays: dict[str, np.ndarray] = {}

    def __call__(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name in self.arrays:
            raise ValueError(f"A network asked for {name} twice.")
        return self.arrays.setdefault(name, self.fill(name, shape))


def fill_from_name(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Contents for a variable, the same on every call; kernels keep the scale of what passes through them."""
    noise = np.random.default_rng(zlib.crc32(name.encode())).uniform(-1.0, 1.0, shape)
    leaf = name.rsplit("/", 1)[-1]
    if leaf in ("gamma", "moving_variance"):
        noise = 1.0 + noise * (0.1 if leaf == "gamma" else 0.5)
    elif leaf in ("beta", "moving_mean", "biases"):
        noise *= 0.1
    else:
        noise *= np.sqrt(4.0 / np.prod(shape[:2] if leaf == "depthwise_weights" else shape[:-1]))
    return noise.astype(np.float32)


def batch_norm(get: Get, x, scope: str, epsilon: float):
    leaves = ("moving_mean", "moving_variance", "beta", "gamma")
    mean, variance, beta, gamma = (get(f"{scope}/BatchNorm/{leaf}", (x.shape[-1],)) for leaf in leaves)
    scale = gamma / np.sqrt(variance + np.float32(epsilon))
    return x * scale + (beta - mean * scale)


def conv(get: Get, x, scope: str, filters, kernel=1, stride=1, rate=1, *, epsilon, activation=None, padding="SAME"):
    """Convolution, batch norm (or biases where `epsilon` is None) and activation."""
    weights = get(f"{scope}/weights", (kernel, kernel, x.shape[-1], filters))
    x = tf.nn.conv2d(x, weights, strides=stride, padding=padding, dilations=rate)
    x = x + get(f"{scope}/biases", (filters,)) if epsilon is None else batch_norm(get, x, scope, epsilon)
    return activation(x) if activation else x


def depthwise(get: Get, x, scope: str, kernel=3, stride=1, rate=1, *, epsilon, activation=None, padding="SAME"):
    weights = get(f"{scope}/depthwise_weights", (kernel, kernel, x.shape[-1], 1))
    rates = [rate, rate] if isinstance(rate, int) else list(rate)
    x = tf.nn.depthwise_conv2d(x, weights, [1, stride, stride, 1], padding, dilations=rates)
    x = batch_norm(get, x, scope, epsilon)
    return activation(x) if activation else x


def separable(get: Get, x, scope: str, filters: int, rate=1, *, epsilon=1e-5):
    x = depthwise(get, x, f"{scope}_depthwise", rate=rate, epsilon=epsilon, activation=RELU)
    return conv(get, x, f"{scope}_pointwise", filters, epsilon=epsilon, activation=RELU)


def fixed_padding(x, margin: int = 1):
    """Zeros around a strided convolution, the same for even and odd sides."""
    return tf.pad(x, [[0, 0], [margin, margin], [margin, margin], [0, 0]])


def conv_same(get: Get, x, scope: str, filters: int, stride=1, rate=1, kernel=3, **options):
    """Convolution; a strided one takes every other position of the dense one."""
    if stride > 1:
        x, options = fixed_padding(x, rate * (kernel // 2)), options | {"padding": "VALID"}
    return conv(get, x, scope, filters, kernel, stride, rate, **options)


def resize(x, size):
    return tf.compat.v1.image.resize_bilinear(x, size, align_corners=True)


def scaled(side: int, stride: int) -> int:
    return int((side - 1) / stride + 1)


def divisible(value: float, divisor: int, least: int | None = None) -> int:
    """The multiple of `divisor` nearest to `value`, at least 90 % of it."""
    rounded = max(least or divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def atrous(current: int, output_stride: int):
    """Maps the nominal stride of each layer in turn to (stride, rate): dilated once the output stride is reached."""
    rate = 1

    def step(stride: int) -> tuple[int, int]:
        nonlocal current, rate
        if current == output_stride:
            applied = (1, rate)
            rate *= stride
        else:
            applied = (stride, 1)
            current *= stride
        return applied

    return step


def xception(get: Get, x, flags):
    root = flags.model_variant
    blocks = [
        *[(f"entry_flow/block{i}", (n, n, n), "conv", 1, s) for i, (n, s) in enumerate(ENTRY_FLOW[root], 1)],
        ("middle_flow/block1", (728, 728, 728), "sum", MIDDLE_UNITS[root], 1),
        *EXIT_FLOW,
    ]
    for i, (filters, stride) in enumerate([(32, 2), (64, 1)], 1):
        x = conv_same(get, x, f"{root}/entry_flow/conv1_{i}", filters, stride, epsilon=1e-3, activation=RELU)
    step, points = atrous(2, flags.output_stride), {}
    for block, depths, shortcut, units, block_stride in blocks:
        last = block == "exit_flow/block2"  # the only one that activates after its convolutions, not before them
        grid = (flags.multi_grid or (1, 1, 1)) if last else (1, 1, 1)
        options: dict[str, Any] = {"epsilon": 1e-3, "activation": RELU if last else None}
        for unit in range(1, units + 1):
            scope = f"{root}/{block}/unit_{unit}/xception_module"
            stride, rate = step(block_stride)
            inputs = x
            for i, depth in enumerate(depths):
                name = f"{scope}/separable_conv{i + 1}"
                x = x if last else RELU(x)
                if i == 2 and stride > 1:
                    x = depthwise(get, fixed_padding(x), f"{name}_depthwise", 3, stride, padding="VALID", **options)
                else:
                    x = depthwise(get, x, f"{name}_depthwise", 3, 1, rate * grid[i], **options)
                x = conv(get, x, f"{name}_pointwise", depth, **options)
                if i == 1:
                    points[block] = x
            if shortcut == "conv":
                inputs = conv(get, inputs, f"{scope}/shortcut", depths[-1], 1, stride, epsilon=1e-3)
            x = x + inputs if shortcut else x
    return x, points


def resnet(get: Get, x, flags):
    root = flags.model_variant.removesuffix("_beta")
    if root == flags.model_variant:
        x = conv_same(get, x, f"{root}/conv1", 64, 2, kernel=7, epsilon=1e-5, activation=RELU)
    else:
        for i, (filters, stride) in enumerate([(64, 2), (64, 1), (128, 1)], 1):
            x = conv_same(get, x, f"{root}/conv1_{i}", filters, stride, epsilon=1e-5, activation=RELU)
    x = tf.nn.max_pool2d(x, 3, 2, "SAME")
    step, points = atrous(4, flags.output_stride), {}
    for block, units in enumerate((3, 4, RESNET_BLOCK3_UNITS[root], 3), 1):
        depth = 32 * 2**block
        for unit in range(1, units + 1):
            scope = f"{root}/block{block}/unit_{unit}/bottleneck_v1"
            stride, rate = step(2 if unit == units and block < 4 else 1)
            rate *= flags.multi_grid[unit - 1] if block == 4 and flags.multi_grid else 1
            if x.shape[-1] == 4 * depth:
                shortcut = x[:, ::stride, ::stride]
            else:
                shortcut = conv(get, x, f"{scope}/shortcut", 4 * depth, 1, stride, epsilon=1e-5)
            x = conv(get, x, f"{scope}/conv1", depth, epsilon=1e-5, activation=RELU)
            x = conv_same(get, x, f"{scope}/conv2", depth, stride, rate, epsilon=1e-5, activation=RELU)
            x = conv(get, x, f"{scope}/conv3", 4 * depth, epsilon=1e-5)
            points[f"block{block}/unit_{unit}"] = x
            x = RELU(shortcut + x)
    return x, points


def hard_sigmoid(x):
    return tf.nn.relu6(x + 3.0) * 0.16667  # not 1/6


def hard_swish(x):
    return x * tf.nn.relu6(x + 3.0) / 6.0


def squeeze_excite(get: Get, x, scope: str):
    pooled = tf.reduce_mean(x, axis=(1, 2), keepdims=True)
    gate = conv(get, pooled, f"{scope}/Conv", divisible(x.shape[-1] / 4, 8), epsilon=None, activation=RELU)
    return x * conv(get, gate, f"{scope}/Conv_1", x.shape[-1], epsilon=None, activation=hard_sigmoid)


def inverted_residual(get: Get, x, scope: str, filters: int, inner: int, kernel, stride, rate, activation, gated):
    """A MobileNet block; also returns its depthwise output, before the squeeze and excitation."""
    inputs = x
    if inner > x.shape[-1]:
        x = conv(get, x, f"{scope}/expand", inner, epsilon=1e-3, activation=activation)
    point = depthwise(get, x, f"{scope}/depthwise", kernel, stride, rate, epsilon=1e-3, activation=activation)
    x = squeeze_excite(get, point, f"{scope}/squeeze_excite") if gated else point
    x = conv(get, x, f"{scope}/project", filters, epsilon=1e-3)
    return (x + inputs if stride == 1 and filters == inputs.shape[-1] else x), point


def mobilenet(get: Get, x, flags):
    multiplier = flags.depth_multiplier
    if flags.model_variant == "mobilenet_v2":
        root, stem, last = "MobilenetV2", (32, tf.nn.relu6), None
        layers: list[tuple] = [(e, n, 3, s, 0, tf.nn.relu6) for e, n, s in MOBILENET_V2]
        round_to, least = flags.divisible_by or (8 if multiplier == 1 else 1), 8 if multiplier == 1 else 1
    else:
        root, stem, last = "MobilenetV3", (16, hard_swish), MOBILENET_V3_LAST[flags.model_variant]
        layers = [(*layer, hard_swish if swish else RELU) for *layer, swish in MOBILENET_V3[flags.model_variant]]
        round_to, least = 8, 8
    step, points = atrous(1, flags.output_stride), {}
    filters, (stride, _) = divisible(stem[0] * multiplier, round_to, least), step(2)
    x = conv(get, x, f"{root}/Conv", filters, 3, stride, epsilon=1e-3, activation=stem[1])
    for i, (expansion, nominal, kernel, nominal_stride, gated, activation) in enumerate(layers):
        stride, rate = step(nominal_stride)
        scope = f"{root}/expanded_conv_{i}" if i else f"{root}/expanded_conv"
        inner = divisible(x.shape[-1] * expansion, 1 if root == "MobilenetV2" and i == 0 else 8)
        filters = divisible(nominal * multiplier, round_to, least)
        options = {"kernel": kernel, "stride": stride, "rate": rate, "activation": activation, "gated": gated}
        x, points[f"layer_{i + 2}"] = inverted_residual(get, x, scope, filters, inner, **options)
    if last:
        filters = divisible(last * multiplier, round_to, least)
        x = conv(get, x, f"{root}/Conv_1", filters, epsilon=1e-3, activation=hard_swish)
    return x, points


def mobilenet_edgetpu(get: Get, x, flags):
    def rounded(filters: float) -> int:
        return divisible(filters * flags.depth_multiplier, 8)

    root, step = "MobilenetEdgeTPU", atrous(1, flags.output_stride)
    stride, _ = step(2)
    x = conv(get, x, f"{root}/Conv", rounded(32), 3, stride, epsilon=1e-3, activation=RELU)
    for i, (expansion, filters, nominal_stride) in enumerate(EDGETPU_FUSED):
        scope, inputs = f"{root}/expanded_conv_{i}" if i else f"{root}/expanded_conv", x
        (stride, rate), inner = step(nominal_stride), divisible(x.shape[-1] * expansion, 8)
        assert rate == 1  # the output stride is 8 or more
        if inner > x.shape[-1]:
            x = conv(get, x, f"{scope}/expand", inner, 3, stride, epsilon=1e-3, activation=RELU)
        x = conv(get, x, f"{scope}/project", rounded(filters), epsilon=1e-3)
        x = x + inputs if stride == 1 and x.shape[-1] == inputs.shape[-1] else x
    for i, (expansion, filters, kernel, nominal_stride, adds) in enumerate(EDGETPU_DEPTHWISE, len(EDGETPU_FUSED)):
        scope, inputs = f"{root}/expanded_conv_{i}", x
        (stride, rate), inner = step(nominal_stride), divisible(x.shape[-1] * expansion, 8)
        x = conv(get, x, f"{scope}/expand", inner, epsilon=1e-3, activation=RELU)
        x = depthwise(get, x, f"{scope}/depthwise", kernel, stride, rate, epsilon=1e-3, activation=RELU)
        x = conv(get, x, f"{scope}/project", rounded(filters), epsilon=1e-3)
        x = x + inputs if adds and stride == 1 and x.shape[-1] == inputs.shape[-1] else x
    return conv(get, x, f"{root}/Conv_1", rounded(1280), epsilon=1e-3, activation=RELU), {}


def aspp(get: Get, x, flags, crop_size):
    """Atrous spatial pyramid pooling, or LR-ASPP where the pooled features are a gate."""
    filters, gated = flags.aspp_convs_filters, flags.aspp_with_squeeze_and_excitation
    norm: dict[str, Any] = {"epsilon": 1e-5, "activation": RELU}
    branches, image_features = [], None
    if flags.add_image_level_feature:
        window = [scaled(side, flags.output_stride) for side in flags.image_pooling_crop_size or crop_size]
        pooled = tf.nn.avg_pool2d(x, window, flags.image_pooling_stride, "VALID")
        gate = {"epsilon": None, "activation": hard_sigmoid if flags.image_se_uses_qsigmoid else tf.nn.sigmoid}
        pooled = conv(get, pooled, "image_pooling", filters, **(gate if gated else norm))
        image_features = resize(pooled, [scaled(side, flags.output_stride) for side in crop_size])
        branches = [] if gated else [image_features]
    branches.append(conv(get, x, "aspp0", filters, **norm))
    for i, rate in enumerate(flags.atrous_rates, 1):
        if flags.aspp_with_separable_conv:
            branches.append(separable(get, x, f"aspp{i}", filters, rate))
        else:
            branches.append(conv(get, x, f"aspp{i}", filters, 3, 1, rate, **norm))
    x = tf.concat(branches, axis=-1)
    if flags.aspp_with_concat_projection:
        x = conv(get, x, "concat_projection", filters, **norm)
    return x * image_features if gated and image_features is not None else x


def dense_prediction_cell(get: Get, x, cell: list[dict[str, Any]], output_stride: int):
    """The cell of a published JSON; its pooling branches are not here, since we follow the paper there."""
    outputs: list[Any] = []
    for i, branch in enumerate(cell):
        inputs = x if branch["input"] < 0 else outputs[branch["input"]]
        scope = f"meta_architecture/branch{i}"
        if branch["kernel"] == 1:
            outputs.append(conv(get, inputs, scope, 256, epsilon=1e-5, activation=RELU))
        else:
            rate = [side * (16 // output_stride) for side in branch["rate"]]
            outputs.append(separable(get, inputs, scope, 256, rate))
    merged = tf.concat(outputs, axis=-1)
    return conv(get, merged, "meta_architecture/concat_projection", 256, epsilon=1e-5, activation=RELU)


def decoder(get: Get, x, points, flags, crop_size):
    filters, as_logits = flags.decoder_filters, flags.decoder_output_is_logits
    full = functools.partial(conv, get, epsilon=None if as_logits else 1e-5, activation=None if as_logits else RELU)
    separated = flags.decoder_use_separable_conv and not as_logits
    for stage, stride in enumerate(flags.decoder_output_stride):
        suffix = f"_{stage}" if stage else ""
        low = points[LOW_LEVEL[flags.model_variant.removesuffix("_beta")][stride]]
        low = full(low, f"decoder/feature_projection0{suffix}", filters if flags.decoder_use_sum_merge else 48)
        size = [scaled(side, stride) for side in crop_size]
        x, low = resize(x, size), resize(low, size)
        if flags.decoder_use_sum_merge and separated:
            x = low + separable(get, x, f"decoder/decoder_split_sep_conv0{suffix}", filters)
        elif flags.decoder_use_sum_merge:
            x = low + full(x, f"decoder/decoder_conv0{suffix}", filters, 1 if as_logits else 3)
        else:
            x = tf.concat([x, low], axis=-1)
            repeated = f"decoder_conv0{suffix}"
            for i in range(2):
                if separated:
                    x = separable(get, x, f"decoder/decoder_conv{i}{suffix}", filters)
                else:
                    x = full(x, f"decoder/{repeated}/{repeated}_{i + 1}", filters, 3)
    return x


def published_network(get: Get, image, flags):
    """The backbone's features and the logits, before their upsampling, of an image with values in 0..255.

    `get` gives a variable for its published name and shape; `flags` has DeepLab's flags as attributes.
    """
    families = {"xception": xception, "resnet": resnet, "mobilenet": mobilenet}
    backbone = families[flags.model_variant.split("_")[0]]
    if flags.model_variant == "mobilenet_edgetpu":
        backbone = mobilenet_edgetpu
    crop_size = image.shape[1:3]
    if flags.model_variant in RESNET_BLOCK3_UNITS:  # without "_beta"
        normalised = image - np.float32(IMAGENET_MEAN)
    else:
        normalised = image * np.float32(2.0 / 255.0) - 1.0
    features, points = backbone(get, normalised, flags)
    if flags.dense_prediction_cell:
        x = dense_prediction_cell(get, features, flags.dense_prediction_cell.to_json(), flags.output_stride)
    else:
        x = aspp(get, features, flags, crop_size)
    x = decoder(get, x, points, flags, crop_size)
    if not flags.decoder_output_is_logits:
        x = conv(get, x, "logits/semantic", flags.num_classes, epsilon=None)
    stride = min(flags.decoder_output_stride, default=flags.output_stride)
    return features, resize(x, [scaled(side, stride) for side in crop_size])
