"""The heads after the last layer at each stride: an ASPP of three branches, and logits (arXiv:1901.02985, Sec. 5.1)."""

from typing import Any

from keras import ops

from deeplab_dpc.search.auto_deeplab.convolution import Normalizer, Shape, conv, conv_bn, conv_shapes, pointwise

RATE_TIMES_STRIDE = 96  # rate of the 3x3 branch times the stride of its input


def weight_shapes(channels: int, num_classes: int) -> dict[str, Shape]:
    """Returns the shapes of the weights of `aspp`; each branch has as many channels as its input."""
    return {
        **conv_shapes("conv1x1", 1, channels, channels),
        **conv_shapes("atrous", 3, channels, channels),
        **conv_shapes("image_pooling", 1, channels, channels),
        "logits/kernel": (1, 1, 3 * channels, num_classes),
        "logits/bias": (num_classes,),
    }


def normalized(channels: int) -> dict[str, int]:
    """Returns the number of channels at each batch norm, by name."""
    return dict.fromkeys(("conv1x1", "atrous", "image_pooling"), channels)


def aspp(x: Any, weights: dict[str, Any], normalize: Normalizer, stride: int) -> Any:
    """Computes logits [batch, height, width, classes] in float32 from features [batch, height, width, channels] before
    ReLU.

    The branches are a 1x1 convolution, a 3x3 convolution of rate 96 / stride, and the pooled image.
    """
    x = ops.relu(x)
    pooled = ops.mean(x, axis=(1, 2), keepdims=True)  # [batch, 1, 1, channels]
    pooled = ops.relu(conv_bn(weights, "image_pooling", pooled, normalize))
    branches = [
        ops.relu(conv_bn(weights, "conv1x1", x, normalize)),
        ops.relu(conv_bn(weights, "atrous", x, normalize, rate=RATE_TIMES_STRIDE // stride)),
    ]
    wide = ops.cast(ops.concatenate(branches, axis=-1), "float32")
    # The pooled features are constant within an image, and so are their logits: they are computed once per image.
    kernel = weights["logits/kernel"]
    split = 2 * x.shape[-1]
    logits = pointwise(wide, kernel[0, 0, :split])
    return logits + conv(ops.cast(pooled, "float32"), kernel[:, :, split:]) + weights["logits/bias"]
