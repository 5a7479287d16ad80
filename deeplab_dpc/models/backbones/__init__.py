"""The registry of backbones: a new one is a file beside this one and a line in BACKBONES."""

from collections.abc import Callable
from typing import Any

import keras

from deeplab_dpc.errors import UserError
from deeplab_dpc.models.backbones.mobilenet_v2 import MobileNetV2

BACKBONES: dict[str, Callable[..., keras.layers.Layer]] = {
    "mobilenet_v2": MobileNetV2,
}


def build_backbone(model_variant: str, **kwargs: Any) -> keras.layers.Layer:
    """The backbone of that name: images in [-1, 1] [batch, height, width, 3] -> features at the output stride.

    Raises:
      UserError: if there is no backbone of that name.
    """
    if model_variant not in BACKBONES:
        raise UserError(f"--model_variant={model_variant} is not known; choose one of {', '.join(sorted(BACKBONES))}.")
    return BACKBONES[model_variant](**kwargs)
