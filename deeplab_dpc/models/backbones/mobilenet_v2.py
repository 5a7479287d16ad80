"""MobileNetV2 (Sandler et al., 2018, arXiv:1801.04381, Table 2) up to its 320-channel layer, with atrous rates."""

from typing import Any, ClassVar

import keras

from deeplab_dpc.models.backbones.mobilenet import BlockSpec, MobileNet, make_divisible

PUBLISHED_DIVISOR = 8  # of the channels at depth multiplier 1


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class MobileNetV2(MobileNet):
    """The MobileNetV2 backbone, see Backbone; the low-level features are depthwise outputs.

    Args:
      depth_multiplier: factor of the number of channels, > 0.
      divisible_by: number to a multiple of which channels are rounded; by default 8 if the multiplier is 1, else 1, as
        published.

    The other arguments are those of Backbone.
    """

    SCOPE = "MobilenetV2"
    OPTIONS = ("depth_multiplier", "divisible_by")
    LOW_LEVEL: ClassVar[dict[int, int]] = {4: 2, 8: 5, 16: 12}
    STEM_FILTERS = 32
    STEM_ACTIVATION = "relu6"
    BLOCKS = (
        BlockSpec(1, 16),
        *(BlockSpec(6, 24, 2), BlockSpec(6, 24)),
        *(BlockSpec(6, 32, 2), BlockSpec(6, 32), BlockSpec(6, 32)),
        *(BlockSpec(6, 64, 2), BlockSpec(6, 64), BlockSpec(6, 64), BlockSpec(6, 64)),
        *(BlockSpec(6, 96), BlockSpec(6, 96), BlockSpec(6, 96)),
        *(BlockSpec(6, 160, 2), BlockSpec(6, 160), BlockSpec(6, 160)),
        BlockSpec(6, 320),
    )

    def __init__(self, depth_multiplier: float = 1.0, divisible_by: int | None = None, **kwargs: Any):
        self.divisible_by = divisible_by
        super().__init__(depth_multiplier, **kwargs)

    def _filters(self, filters: int) -> int:
        published = PUBLISHED_DIVISOR if self.depth_multiplier == 1.0 else 1
        return make_divisible(filters * self.depth_multiplier, self.divisible_by or published, published)
