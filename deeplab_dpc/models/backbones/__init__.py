"""The registry of backbones: a new one is a file beside this one and a line in BACKBONES."""

from deeplab_dpc.errors import UserError
from deeplab_dpc.models.backbones.mobilenet_v2 import MobileNetV2

BACKBONES: dict[str, type[MobileNetV2]] = {
    "mobilenet_v2": MobileNetV2,
}


def backbone_class(model_variant: str) -> type[MobileNetV2]:
    """The layer of that name: images in [-1, 1] [batch, height, width, 3] -> features at the output stride.

    Raises:
      UserError: if there is no backbone of that name.
    """
    if model_variant not in BACKBONES:
        raise UserError(f"--model_variant={model_variant} is not known; choose one of {', '.join(sorted(BACKBONES))}.")
    return BACKBONES[model_variant]
