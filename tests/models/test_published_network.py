"""Our models against `published_network`, which is itself held against what the published code computed."""

import json
import runpy
from typing import Any

import numpy as np
import pytest
from published_network import Variables, fill_from_name, published_network

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.checkpoint.names import named_variables
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.models.segmenter import build_segmenter

STORED = ("mobilenet_v2_aspp", "mobilenet_v2_dpc", "resnet_v1_50_beta_aspp_decoder", "xception_65_aspp_decoder")
RATES = {32: (3, 6, 9), 16: (6, 12, 18), 8: (12, 24, 36)}
ODD, EVEN = (97, 129), (98, 130)
LARGE = (321, 385)  # holds every rate of the cell and of ASPP at output stride 16
GRID = (1, 2, 4)
# The flags of the published Cityscapes checkpoints of MobileNetV3, but for the window of the image pooling: 769 x 769.
LR_ASPP: dict[str, Any] = {
    "num_classes": 19,
    "image_pooling_stride": (4, 5),
    "aspp_convs_filters": 128,
    "aspp_with_concat_projection": False,
    "aspp_with_squeeze_and_excitation": True,
    "image_se_uses_qsigmoid": True,
    "decoder_output_stride": (8,),
    "decoder_filters": 19,
    "decoder_use_sum_merge": True,
    "decoder_output_is_logits": True,
}


def flags(model_variant: str, output_stride: int, *decoder_output_stride: int, **others) -> dict[str, Any]:
    return {
        "num_classes": 7,
        "model_variant": model_variant,
        "output_stride": output_stride,
        "decoder_output_stride": decoder_output_stride,
        **others,
    }


def v2(output_stride: int, *decoder_output_stride: int, **others) -> dict[str, Any]:
    return flags("mobilenet_v2", output_stride, *decoder_output_stride, **others)


def v3(size: str, output_stride: int, window: tuple[int, int] = (33, 49), **others) -> dict[str, Any]:
    return flags(f"mobilenet_v3_{size}_seg", output_stride, image_pooling_crop_size=window, **(LR_ASPP | others))


CELL = {"dense_prediction_cell": load_cell("dpc_top1")}
FULL = {"aspp_with_separable_conv": False, "decoder_use_separable_conv": False}
SUM = {"decoder_use_sum_merge": True}
AS_LOGITS = {"decoder_output_is_logits": True, "decoder_filters": 7}
SE = {"aspp_with_squeeze_and_excitation": True}

CASES: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {
    "xception_41": (EVEN, flags("xception_41", 16, 4, atrous_rates=RATES[16], multi_grid=GRID)),
    "xception_65_stride8": (EVEN, flags("xception_65", 8, 4, atrous_rates=RATES[8])),
    "xception_71_cell": (ODD, flags("xception_71", 16, 4, **CELL)),
    "resnet_101": (ODD, flags("resnet_v1_101_beta", 16, 4, atrous_rates=RATES[16], multi_grid=GRID)),
    "resnet_101_stride8": (EVEN, flags("resnet_v1_101_beta", 8, 4, atrous_rates=RATES[8], multi_grid=GRID)),
    "resnet_50_plain": (ODD, flags("resnet_v1_50", 16, 4, atrous_rates=RATES[16], multi_grid=GRID)),
    "resnet_101_plain_stride8": (EVEN, flags("resnet_v1_101", 8, 4)),
    "resnet_50_stride32_stages": (EVEN, flags("resnet_v1_50_beta", 32, 16, 8)),
    "v2_stride32": (EVEN, v2(32, atrous_rates=RATES[32])),
    "v2_rates_within_features": (LARGE, v2(16, atrous_rates=RATES[16])),
    "v2_cell_rates_within_features": (LARGE, v2(16, **CELL)),
    "v2_cell_stride8": (EVEN, v2(8, **CELL)),
    "v2_half": (ODD, v2(16, depth_multiplier=0.5)),
    "v2_half_decoder": (ODD, v2(16, 4, depth_multiplier=0.5)),
    "v2_half_stages": (EVEN, v2(16, 16, 4, depth_multiplier=0.5)),
    "v2_third_divisible": (EVEN, v2(8, depth_multiplier=0.35, divisible_by=8)),
    "v2_full_convolutions": (EVEN, v2(16, 4, atrous_rates=RATES[16], **FULL)),
    "v2_full_convolutions_stages": (ODD, v2(16, 16, 4, **FULL)),
    "v2_sum": (EVEN, v2(16, 8, 4, decoder_filters=64, **SUM)),
    "v2_sum_full_convolutions": (ODD, v2(16, 8, 4, **SUM, **FULL)),
    "v2_concatenated_logits": (EVEN, v2(16, 8, 4, **AS_LOGITS)),
    "v2_without_image_features": (EVEN, v2(16, atrous_rates=RATES[16], add_image_level_feature=False)),
    "v2_without_projection": (ODD, v2(16, atrous_rates=RATES[16], aspp_with_concat_projection=False)),
    "v2_gated_by_sigmoid": (EVEN, v2(16, atrous_rates=RATES[16], **SE)),
    "v2_pooling_window": (EVEN, v2(8, image_pooling_crop_size=(50, 70), image_pooling_stride=(2, 3))),
    "v3_large_published_flags": ((897, 961), v3("large", 32, (769, 769))),
    "v3_small_published_flags": ((897, 961), v3("small", 32, (769, 769))),
    "v3_large_stride32": (EVEN, v3("large", 32)),
    "v3_large_stride16": (ODD, v3("large", 16)),
    "v3_large_stride8": (EVEN, v3("large", 8)),
    "v3_small_stride32": (EVEN, v3("small", 32)),
    "v3_small_stride16": (ODD, v3("small", 16)),  # a layer that loses its stride gains an addition
    "v3_small_stride8": (EVEN, v3("small", 8)),
    "v3_large_three_quarters": (EVEN, v3("large", 16, depth_multiplier=0.75)),
    "edgetpu_stride32": (EVEN, flags("mobilenet_edgetpu", 32)),
    "edgetpu_stride16": (ODD, flags("mobilenet_edgetpu", 16, atrous_rates=RATES[16])),
    "edgetpu_stride8": (EVEN, flags("mobilenet_edgetpu", 8)),
    "edgetpu_slim": (ODD, flags("mobilenet_edgetpu", 16, depth_multiplier=0.75, aspp_convs_filters=128)),
    "v3_small_aspp_decoder": (EVEN, flags("mobilenet_v3_small_seg", 16, 16, 8, 4)),
}


# For `make test`, beside the networks of test_reference_models.py; the others take a few seconds each.
QUICK = (
    "mobilenet_v2_aspp",
    "v2_cell_stride8",
    "v2_half_stages",
    "v2_sum",
    "v3_small_stride16",
    "edgetpu_slim",
    "v3_small_aspp_decoder",
    "resnet_50_plain",
)


def cases(names):
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in names]


def shapes(arrays) -> dict[str, tuple[int, ...]]:
    return {name: tuple(array.shape) for name, array in arrays.items()}


def count_trainable(variables: Variables) -> int:
    return sum(array.size for name, array in variables.arrays.items() if "/moving_" not in name)


def assert_close(actual, expected):
    """Equal within float32 rounding, which grows with depth to some 5e-6 of the largest value."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("case", cases(STORED))
def test_oracle_equals_what_the_published_code_computed(shared, case):
    folder = shared / "reference" / "checkpoints"
    facts = json.loads((folder / f"{case}.json").read_text())
    expected = np.load(folder / f"{case}.npz")
    stored_values = runpy.run_path(str(folder / "variable_values.py"))
    config = ModelConfig(
        num_classes=facts["num_classes"],
        model_variant=facts["flags"]["model_variant"],
        output_stride=facts["output_stride"],
        multi_grid=tuple(facts["flags"].get("multi_grid", ())),
        dense_prediction_cell=load_cell("dpc_top1") if facts["dense_prediction_cell"] else None,
        atrous_rates=tuple(facts["atrous_rates"] or ()),
        decoder_output_stride=tuple(map(int, facts["flags"].get("decoder_output_stride", ()))),
    )
    variables = Variables(stored_values["fill"])
    features, logits = published_network(variables, stored_values["image"](*facts["crop_size"]), config)
    assert {name: list(shape) for name, shape in shapes(variables.arrays).items()} == facts["variables"]
    assert count_trainable(variables) == facts["trainable_parameters"]
    assert list(features.shape) == facts["features_shape"]
    assert_close(features[0, :2, :2], expected["features_corner"])
    assert_close(np.mean(features, axis=(0, 1, 2)), expected["features_mean"])
    assert_close(logits, expected["logits"])


@pytest.mark.parametrize("case", cases(CASES))
def test_model_equals_the_published_network(rng, case):
    size, fields = CASES[case]
    config = ModelConfig(**fields)
    image = rng.uniform(0.0, 255.0, (1, *size, 3)).astype(np.float32)
    published = Variables(fill_from_name)
    features, logits = published_network(published, image, config)
    model = build_segmenter(config)
    ours = named_variables(model)
    assert shapes(ours) == shapes(published.arrays)
    assert sum(int(np.prod(variable.shape)) for variable in model.trainable_variables) == count_trainable(published)
    for name, variable in ours.items():
        variable.assign(published.arrays[name])
    assert_close(model.features(image), features)
    assert_close(model(image), logits)
