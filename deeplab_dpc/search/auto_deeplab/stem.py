"""The stem of the supernet: 3x3 convolutions down to stride 4.

Two, each of stride 2 (arXiv:1901.02985, Sec. 3.2), or the three of the network that is retrained, of which the first
and the third have stride 2 (Sec. 5.2).
"""

from typing import Any

from keras import ops

from deeplab_dpc.search.auto_deeplab.convolution import Normalizer, Shape, conv_bn, conv_shapes

IMAGE_CHANNELS = 3
STRIDES = {2: (2, 2), 3: (2, 1, 2)}  # strides of the convolutions, by their number


def _filters(layers: int, stem_filters: int) -> tuple[int, ...]:
    return (*[stem_filters] * (layers - 1), 2 * stem_filters)


def channels(layer: int, stem_filters: int) -> int:
    """Returns the channels of the output at stride 4, which is layer 0 of the network, or at stride 2, layer -1."""
    return 2 * stem_filters if layer == 0 else stem_filters


def weight_shapes(layers: int, stem_filters: int) -> dict[str, Shape]:
    """Returns the shapes of the weights that `stem` reads."""
    shapes: dict[str, Shape] = {}
    before = IMAGE_CHANNELS
    for i, filters in enumerate(_filters(layers, stem_filters)):
        shapes |= conv_shapes(f"conv{i}", 3, before, filters)
        before = filters
    return shapes


def normalized(layers: int, stem_filters: int) -> dict[str, int]:
    """Returns the number of channels at each batch norm, by name."""
    return {f"conv{i}": filters for i, filters in enumerate(_filters(layers, stem_filters))}


def stem(layers: int, images: Any, weights: dict[str, Any], normalize: Normalizer) -> tuple[Any, Any]:
    """Computes outputs at strides 2 and 4, both before ReLU, from images [batch, height, width, 3] in [-1, 1]."""
    outputs: list[Any] = []
    x = images
    for i, strides in enumerate(STRIDES[layers]):
        x = conv_bn(weights, f"conv{i}", ops.relu(x) if i else x, normalize, strides=strides)
        outputs.append(x)
    return outputs[-2], outputs[-1]
