"""Backbones: strides and rates, channels, low-level features, the registry."""

import keras
import numpy as np
import pytest

from deeplab_dpc.config import ModelConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.layers.conv import ConvBN
from deeplab_dpc.models.backbones import BACKBONES, backbone_class, variants_of_scope
from deeplab_dpc.models.backbones.backbone import Backbone, atrous_rates
from deeplab_dpc.models.backbones.mobilenet import make_divisible
from deeplab_dpc.models.backbones.mobilenet_v2 import MobileNetV2
from deeplab_dpc.models.backbones.mobilenet_v3 import MobileNetV3LargeSeg
from deeplab_dpc.models.backbones.resnet import ResNet50Beta
from deeplab_dpc.models.backbones.xception import Xception65
from deeplab_dpc.models.segmenter import build_segmenter

IMAGE = (1, 65, 97, 3)
# Channels of the low-level features at strides 4, 8 and 16, and of the features.
CHANNELS = {
    "mobilenet_v2": (6 * 24, 6 * 32, 6 * 96, 320),
    "mobilenet_v3_large_seg": (3 * 24, 3 * 40, 6 * 112, 480),
    "mobilenet_v3_small_seg": (16, 88, 3 * 48, 288),
    "resnet_v1_50": (256, 512, 1024, 2048),
    "resnet_v1_50_beta": (256, 512, 1024, 2048),
    "resnet_v1_101_beta": (256, 512, 1024, 2048),
    "xception_41": (256, 728, 1024, 2048),
    "xception_65": (256, 728, 1024, 2048),
    "xception_71": (256, 728, 1024, 2048),
}


def _units(backbone):
    return [(unit.strides, unit.rate) for unit in backbone.units()]


@pytest.mark.parametrize(
    ("value", "divisor", "expected"), [(16.0, 8, 16), (17.0, 8, 16), (11.0, 8, 16), (3.2, 1, 3), (0.4, 1, 1)]
)
def test_channels_are_rounded_to_the_divisor_but_never_by_more_than_a_tenth_down(value, divisor, expected):
    assert make_divisible(value, divisor, divisor) == expected


def test_strides_beyond_the_output_stride_become_rates_of_the_units_after():
    assert atrous_rates([1, 2, 1, 2, 1], output_stride=8, stride_so_far=4) == [(1, 1), (2, 1), (1, 1), (1, 1), (1, 2)]
    assert atrous_rates([2, 2, 2], output_stride=4, stride_so_far=4) == [(1, 1), (1, 2), (1, 4)]


@pytest.mark.parametrize(
    ("output_stride", "strides", "rates"),
    [
        (32, [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1], [1] * 17),
        (16, [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [1] * 14 + [2, 2, 2]),
        (8, [1, 2, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [1] * 7 + [2] * 7 + [4] * 3),
    ],
)
def test_mobilenet_v2_strides_and_rates(output_stride, strides, rates):
    assert _units(MobileNetV2(output_stride=output_stride)) == list(zip(strides, rates, strict=True))


def test_resnet_strides_sit_on_the_last_units_and_the_multi_grid_on_the_last_block():
    units = _units(ResNet50Beta(output_stride=8, multi_grid=(1, 2, 4)))
    assert units[:7] == [(1, 1), (1, 1), (2, 1), (1, 1), (1, 1), (1, 1), (1, 1)]
    assert units[7:] == [(1, 2)] * 6 + [(1, 4), (1, 8), (1, 16)]


def test_xception_strides_and_rates_of_each_convolution():
    backbone = Xception65(output_stride=8, multi_grid=(1, 2, 4))
    assert _units(backbone) == [(2, 1), (2, 1), (1, 1)] + [(1, 2)] * 16 + [(1, 2), (1, 4)]
    assert [conv.rate for conv in backbone.units()[-1].convs] == [(4, 4), (8, 8), (16, 16)]
    assert [conv.strides for conv in backbone.units()[0].convs] == [1, 1, 2]


@pytest.mark.parametrize("variant", CHANNELS)
def test_low_level_features_have_the_published_channels_at_their_strides(variant):
    backbone = backbone_class(variant)(low_level_strides=(16, 8, 4))
    features, low_level = backbone.compute_output_shape(IMAGE)
    stride4, stride8, stride16, channels = CHANNELS[variant]
    assert features == (1, 5, 7, channels)
    assert low_level == ((1, 5, 7, stride16), (1, 9, 13, stride8), (1, 17, 25, stride4))


@pytest.mark.parametrize("make", [lambda **kw: MobileNetV2(depth_multiplier=0.1, **kw), MobileNetV3LargeSeg])
def test_outputs_have_the_declared_shapes_and_a_config_makes_the_same_backbone(make):
    keras.utils.set_random_seed(0)
    backbone = make(output_stride=8, low_level_strides=(8, 4))
    backbone.build(IMAGE)
    image = np.random.default_rng(0).uniform(-1, 1, IMAGE).astype("float32")
    features, low_level = backbone(image)
    declared_features, declared_low_level = backbone.compute_output_shape(IMAGE)
    assert tuple(features.shape) == declared_features
    assert tuple(tuple(x.shape) for x in low_level) == declared_low_level
    copy = type(backbone).from_config(backbone.get_config())
    copy.build(IMAGE)
    copy.set_weights(backbone.get_weights())
    np.testing.assert_array_equal(np.asarray(copy(image)[0]), np.asarray(features))


@pytest.mark.parametrize("variant", BACKBONES)
def test_the_mean_pixel_becomes_zero(variant):
    image = np.tile(np.float32(ModelConfig(2, variant).mean_pixel), (1, 2, 2, 1))
    np.testing.assert_allclose(backbone_class(variant)().normalised(image), 0.0, atol=1e-7)


def test_depth_multiplier_rounds_expansions_to_8_and_other_channels_to_1_unless_asked():
    units = MobileNetV2(depth_multiplier=0.5).units()
    assert [unit.filters for unit in units][:4] == [8, 12, 12, 16]
    assert units[2].expanded == 72
    assert [unit.filters for unit in MobileNetV2(depth_multiplier=0.5, divisible_by=8).units()][:4] == [8, 16, 16, 16]


def test_mobilenet_v3_first_unit_does_not_expand_and_se_sits_where_the_table_has_it():
    units = MobileNetV3LargeSeg().units()
    assert units[0].expand is None
    assert [unit.squeeze_excite for unit in units] == [False] * 3 + [True] * 3 + [False] * 4 + [True] * 5
    assert units[3].gate.squeeze.filters == 24  # 72 / 4 = 18, as a multiple of 8 and not below 90 %


def test_unknown_names_strides_and_options_are_errors():
    with pytest.raises(UserError, match="--model_variant=vgg is not known; choose one of .*mobilenet_v2"):
        backbone_class("vgg")
    with pytest.raises(UserError, match=r"--output_stride must be one of \(8, 16, 32\), got 12"):
        MobileNetV2(output_stride=12)
    with pytest.raises(UserError, match="--decoder_output_stride=2 is not one of 4, 8, 16"):
        Xception65(low_level_strides=(2,))
    config = ModelConfig(num_classes=2, model_variant="xception_65", depth_multiplier=0.5)
    with pytest.raises(UserError, match=r"--depth_multiplier=0.5 has no meaning for --model_variant=xception_65"):
        Xception65.from_model_config(config)
    config = ModelConfig(num_classes=2, multi_grid=(1, 2, 4))
    with pytest.raises(UserError, match=r"--multi_grid=1,2,4 has no meaning for --model_variant=mobilenet_v2"):
        MobileNetV2.from_model_config(config)


@pytest.mark.parametrize(
    ("low_level", "message"),
    [
        ({4: 2, 8: 6}, "LOW_LEVEL of Wrong has unit 6 at stride 8, and its low-level features are at stride 16"),
        ({4: 0}, "LOW_LEVEL of Wrong has unit 0 at stride 4, and its low-level features are at stride 2"),
        ({16: 17}, "LOW_LEVEL of Wrong has unit 17 of 17 units"),
    ],
)
def test_low_level_features_at_another_stride_are_an_error(low_level, message):
    class Wrong(MobileNetV2):
        LOW_LEVEL = low_level

    with pytest.raises(ValueError, match=message):
        Wrong()


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("name", [name for name, backbone in BACKBONES.items() if backbone.LOW_LEVEL])
def test_low_level_features_are_at_the_strides_that_are_said(name, output_stride):
    backbone = BACKBONES[name](output_stride=output_stride)  # which checks them
    strides = tuple(stride for stride in backbone.LOW_LEVEL if stride <= output_stride)
    tapped = BACKBONES[name](output_stride=output_stride, low_level_strides=strides)
    features, low_level = tapped.compute_output_shape((1, 257, 257, 3))
    assert features[1:3] == (256 // output_stride + 1,) * 2
    assert [shape[1] for shape in low_level] == [256 // stride + 1 for stride in strides]


def test_variants_of_a_published_scope():
    assert variants_of_scope("MobilenetV3") == ["mobilenet_v3_large_seg", "mobilenet_v3_small_seg"]
    assert variants_of_scope("resnet_v1_101") == ["resnet_v1_101", "resnet_v1_101_beta"]
    assert variants_of_scope("aspp0") == []


def test_an_own_backbone_needs_a_class_and_a_line_in_the_registry(monkeypatch):
    class Tiny(Backbone):
        SCOPE = "tiny"
        BATCH_NORM_DECAY = 0.99
        BATCH_NORM_EPSILON = 1e-3
        LOW_LEVEL = {}  # noqa: RUF012

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.assemble([ConvBN(5, 3, strides=self.output_stride, name="conv", **self.shared_arguments)])

    monkeypatch.setitem(BACKBONES, "tiny", Tiny)
    model = build_segmenter(ModelConfig(num_classes=3, model_variant="tiny", output_stride=8))
    assert model(np.zeros((1, 33, 41, 3), "float32")).shape == (1, 5, 6, 3)
