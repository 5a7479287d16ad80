"""The registry of backbones: a new backbone is a file in this folder and a line in BACKBONES.

Other packages register theirs as entry points (own_parts.py).
"""

from deeplab_dpc import own_parts
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.backbones.auto_deeplab import AutoDeepLab, AutoDeepLabL, AutoDeepLabM, AutoDeepLabS
from deeplab_dpc.models.backbones.backbone import Backbone
from deeplab_dpc.models.backbones.mobilenet_edgetpu import MobileNetEdgeTPU
from deeplab_dpc.models.backbones.mobilenet_v2 import MobileNetV2
from deeplab_dpc.models.backbones.mobilenet_v3 import MobileNetV3LargeSeg, MobileNetV3SmallSeg
from deeplab_dpc.models.backbones.resnet import ResNet50, ResNet50Beta, ResNet101, ResNet101Beta
from deeplab_dpc.models.backbones.xception import Xception41, Xception65, Xception71

BACKBONES: dict[str, type[Backbone]] = {
    "auto_deeplab": AutoDeepLab,
    "auto_deeplab_s": AutoDeepLabS,
    "auto_deeplab_m": AutoDeepLabM,
    "auto_deeplab_l": AutoDeepLabL,
    "mobilenet_edgetpu": MobileNetEdgeTPU,
    "mobilenet_v2": MobileNetV2,
    "mobilenet_v3_large_seg": MobileNetV3LargeSeg,
    "mobilenet_v3_small_seg": MobileNetV3SmallSeg,
    "nas_hnasnet": AutoDeepLab,
    "resnet_v1_50": ResNet50,
    "resnet_v1_101": ResNet101,
    "resnet_v1_50_beta": ResNet50Beta,
    "resnet_v1_101_beta": ResNet101Beta,
    "xception_41": Xception41,
    "xception_65": Xception65,
    "xception_71": Xception71,
}


def backbone_class(model_variant: str) -> type[Backbone]:
    """Returns the class of the backbone with that name, from the registry or from another package.

    Raises:
      UserError: if there is none, or that of another package cannot be used.
    """
    if model_variant in BACKBONES:
        return BACKBONES[model_variant]
    if model_variant in own_parts.names(own_parts.BACKBONES):
        found: type[Backbone] = own_parts.load(own_parts.BACKBONES, model_variant, Backbone)
        return found
    raise UserError(f"--model_variant={model_variant} is not known; choose one of {', '.join(backbone_names())}.")


def backbone_names() -> list[str]:
    """Returns the names of all backbones, including those of other packages, sorted."""
    return sorted({*BACKBONES, *own_parts.names(own_parts.BACKBONES)})


def variants_of_scope(scope: str) -> list[str]:
    """Returns the names of the backbones whose published variables are below `scope`; there may be none or several."""
    return [variant for variant, backbone in BACKBONES.items() if scope == backbone.SCOPE]
