"""The registry of backbones: a new backbone is a file in this folder and a line in BACKBONES."""

from deeplab_dpc.errors import UserError
from deeplab_dpc.models.backbones.auto_deeplab import AutoDeepLab, AutoDeepLabL, AutoDeepLabM, AutoDeepLabS
from deeplab_dpc.models.backbones.backbone import Backbone
from deeplab_dpc.models.backbones.mobilenet_v2 import MobileNetV2
from deeplab_dpc.models.backbones.mobilenet_v3 import MobileNetV3LargeSeg, MobileNetV3SmallSeg
from deeplab_dpc.models.backbones.resnet_beta import ResNet50Beta, ResNet101Beta
from deeplab_dpc.models.backbones.xception import Xception41, Xception65, Xception71

BACKBONES: dict[str, type[Backbone]] = {
    "auto_deeplab": AutoDeepLab,
    "auto_deeplab_s": AutoDeepLabS,
    "auto_deeplab_m": AutoDeepLabM,
    "auto_deeplab_l": AutoDeepLabL,
    "mobilenet_v2": MobileNetV2,
    "mobilenet_v3_large_seg": MobileNetV3LargeSeg,
    "mobilenet_v3_small_seg": MobileNetV3SmallSeg,
    "nas_hnasnet": AutoDeepLab,
    "resnet_v1_50_beta": ResNet50Beta,
    "resnet_v1_101_beta": ResNet101Beta,
    "xception_41": Xception41,
    "xception_65": Xception65,
    "xception_71": Xception71,
}


def backbone_class(model_variant: str) -> type[Backbone]:
    """Returns the backbone of that name.

    Raises:
      UserError: if there is no such backbone.
    """
    if model_variant not in BACKBONES:
        raise UserError(f"--model_variant={model_variant} is not known; choose one of {', '.join(sorted(BACKBONES))}.")
    return BACKBONES[model_variant]


def variants_of_scope(scope: str) -> list[str]:
    """Returns the names of the backbones whose published variables are below that scope; there may be none or
    several."""
    return [variant for variant, backbone in BACKBONES.items() if scope == backbone.SCOPE]
