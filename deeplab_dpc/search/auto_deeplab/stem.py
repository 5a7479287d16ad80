"""The stem of the supernet: three 3x3 convolutions, the first and third of stride 2 (arXiv:1901.02985, Sec. 5.2)."""

from typing import Any

from keras import ops

from deeplab_dpc.search.auto_deeplab.convolution import Shape, conv_bn, conv_shapes
from deeplab_dpc.search.auto_deeplab.normalizer import Normalizer

IMAGE_CHANNELS = 3
STRIDES = (2, 1, 2)


def _filters(stem_filters: int) -> tuple[int, int, int]:
    return (stem_filters, stem_filters, 2 * stem_filters)


def channels(layer: int, stem_filters: int) -> int:
    """Of the output at stride 4, which is layer 0 of the network, or at stride 2, which is layer -1."""
    return _filters(stem_filters)[2 if layer == 0 else 1]


def weight_shapes(stem_filters: int) -> dict[str, Shape]:
    """Of what `stem` reads."""
    shapes: dict[str, Shape] = {}
    before = IMAGE_CHANNELS
    for i, filters in enumerate(_filters(stem_filters)):
        shapes |= conv_shapes(f"conv{i}", 3, before, filters)
        before = filters
    return shapes


def normalized(stem_filters: int) -> dict[str, int]:
    """Returns the channels of what is normalised, by name."""
    return {f"conv{i}": filters for i, filters in enumerate(_filters(stem_filters))}


def stem(images: Any, weights: dict[str, Any], normalize: Normalizer) -> tuple[Any, Any]:
    """Returns images [batch, height, width, 3] in [-1, 1] -> outputs at strides 2 and 4, both before ReLU."""
    outputs: list[Any] = []
    x = images
    for i, strides in enumerate(STRIDES):
        x = conv_bn(weights, f"conv{i}", ops.relu(x) if i else x, normalize, strides=strides)
        outputs.append(x)
    return outputs[1], outputs[2]
