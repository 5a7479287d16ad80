"""MobileNetV3 for segmentation (Howard et al., 2019, arXiv:1905.02244, Tables 1 and 2, Sec. 6.4).

The "seg" variants halve the channels of the last block and the last layer. Units are counted from 0; the stem is the
table's first row. h-swish is Keras' hard_silu.
"""

import functools
from typing import ClassVar

import keras

from deeplab_dpc.models.backbones.mobilenet import BlockSpec, MobileNet

_relu = functools.partial(BlockSpec, activation="relu")
_swish = functools.partial(BlockSpec, activation="hard_silu")
_relu_se5 = functools.partial(_relu, kernel_size=5, squeeze_excite=True)
_swish_se = functools.partial(_swish, squeeze_excite=True)
_swish_se5 = functools.partial(_swish_se, kernel_size=5)


class _MobileNetV3(MobileNet):
    SCOPE = "MobilenetV3"
    STEM_FILTERS = 16
    STEM_ACTIVATION = "hard_silu"


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class MobileNetV3LargeSeg(_MobileNetV3):
    """MobileNetV3-Large with half the channels from the last stride on; see MobileNet."""

    LOW_LEVEL: ClassVar[dict[int, int]] = {4: 2, 8: 5, 16: 11}
    BLOCKS = (
        _relu(1, 16),
        *(_relu(4, 24, 2), _relu(3, 24)),
        *(_relu_se5(3, 40, 2), _relu_se5(3, 40), _relu_se5(3, 40)),
        *(_swish(6, 80, 2), _swish(2.5, 80), _swish(184 / 80, 80), _swish(184 / 80, 80)),
        *(_swish_se(6, 112), _swish_se(6, 112)),
        *(_swish_se5(336 / 112, 80, 2), _swish_se5(480 / 80, 80), _swish_se5(480 / 80, 80)),
    )
    LAST_FILTERS = 480


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class MobileNetV3SmallSeg(_MobileNetV3):
    """MobileNetV3-Small with half the channels from the last stride on; see MobileNet."""

    LOW_LEVEL: ClassVar[dict[int, int]] = {4: 0, 8: 2, 16: 7}
    BLOCKS = (
        _relu(1, 16, 2, squeeze_excite=True),
        *(_relu(72 / 16, 24, 2), _relu(88 / 24, 24)),
        *(_swish_se5(4, 40, 2), _swish_se5(6, 40), _swish_se5(6, 40)),
        *(_swish_se5(3, 48), _swish_se5(3, 48)),
        *(_swish_se5(144 / 48, 48, 2), _swish_se5(288 / 48, 48), _swish_se5(288 / 48, 48)),
    )
    LAST_FILTERS = 288
