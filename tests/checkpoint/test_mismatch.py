"""What is said where a checkpoint is that of another network: the variables that tell, and the flags that would fit."""

import numpy as np
import pytest

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.checkpoint.names import named_variables
from deeplab_dpc.checkpoint.restore import restore_backbone, restore_for_training, restore_model
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.segmenter import build_segmenter

DECODER = {"decoder_output_stride": (4,)}
LR_ASPP = {
    "num_classes": 3,
    "decoder_output_stride": (8,),
    "decoder_filters": 3,
    "decoder_use_sum_merge": True,
    "decoder_output_is_logits": True,
}


def _model(num_classes=3, cell=None, **changes):
    cell = load_cell(cell) if cell else None
    return build_segmenter(ModelConfig(num_classes, dense_prediction_cell=cell, **{"depth_multiplier": 0.1} | changes))


def _zeros(**changes):
    """The checkpoint of a network, all zeros."""
    return {name: np.zeros(variable.shape, "float32") for name, variable in named_variables(_model(**changes)).items()}


@pytest.fixture
def stored(tmp_path, write_tf1_checkpoint):
    """Writes arrays as a checkpoint; returns its prefix."""
    return lambda arrays: write_tf1_checkpoint(tmp_path / "model.ckpt", arrays)


def _hints(error):
    """Returns what follows the variables in the message, without the last full stop."""
    message = str(error.value)
    assert " is the checkpoint of another model: " in message
    assert message.endswith(".")
    return message[:-1].split("; ")[1:]


@pytest.mark.parametrize(
    ("theirs", "ours", "hints"),
    [
        ({"num_classes": 5}, {}, ["pass --num_classes=5"]),
        ({"cell": "conv1x1"}, {}, ["it has a dense prediction cell: pass --dense_prediction_cell_json"]),
        ({}, {"cell": "conv1x1"}, ["it has ASPP: leave --dense_prediction_cell_json out"]),
        (
            {"cell": "psp"},
            {"cell": "conv1x1"},
            ["it has another dense prediction cell: pass that one with --dense_prediction_cell_json"],
        ),
        (
            {"atrous_rates": (6, 12, 18)},
            {},
            ["it has 3 atrous branches: pass --atrous_rates with 3 rates"],
        ),
        ({"atrous_rates": (6,)}, {}, ["it has 1 atrous branch: pass --atrous_rates with 1 rate"]),
        ({}, {"atrous_rates": (6,)}, ["it has no atrous branches: leave --atrous_rates out"]),
        (
            {"atrous_rates": (6, 12), "aspp_with_separable_conv": False},
            {"atrous_rates": (6, 12)},
            ["pass --aspp_with_separable_conv=false"],
        ),
        (
            {"atrous_rates": (6,)},
            {"atrous_rates": (6,), "aspp_with_separable_conv": False},
            ["pass --aspp_with_separable_conv=true"],
        ),
        ({"aspp_convs_filters": 8}, {}, ["pass --aspp_convs_filters=8"]),
        ({"add_image_level_feature": False}, {}, ["pass --add_image_level_feature=false"]),
        ({}, {"aspp_with_concat_projection": False}, ["pass --aspp_with_concat_projection=true"]),
        (
            {"aspp_with_squeeze_and_excitation": True},
            {},
            ["pass --aspp_with_squeeze_and_excitation=true"],
        ),
        (DECODER, {}, ["it has a decoder: pass --decoder_output_stride=4"]),
        ({}, DECODER, ["it has no decoder: leave --decoder_output_stride out"]),
        (
            {"decoder_output_stride": (8, 4)},
            DECODER,
            ["it has a decoder of 2 stages: pass --decoder_output_stride with 2 strides"],
        ),
        (
            DECODER | {"decoder_use_separable_conv": False},
            DECODER,
            ["pass --decoder_use_separable_conv=false"],
        ),
        (DECODER | {"decoder_use_sum_merge": True}, DECODER, ["pass --decoder_use_sum_merge=true"]),
        (DECODER | {"decoder_filters": 8}, DECODER, ["pass --decoder_filters=8"]),
        (
            LR_ASPP,
            {},
            [
                "it has a decoder: pass --decoder_output_stride=8",
                "pass --decoder_output_is_logits=true",
                "pass --decoder_use_sum_merge=true",
                "pass --decoder_filters=3",
            ],
        ),
        (
            LR_ASPP,
            LR_ASPP | {"num_classes": 5, "decoder_filters": 5},
            ["pass --decoder_filters=3", "pass --num_classes=3"],
        ),
        ({"depth_multiplier": 0.35}, {}, ["pass --depth_multiplier=0.35"]),
        ({"depth_multiplier": 0.2}, {"depth_multiplier": 0.35}, ["pass --depth_multiplier=0.2"]),
        (
            {"depth_multiplier": 0.35, "divisible_by": 8},
            {"depth_multiplier": 0.35},
            ["its channels are rounded to multiples of 8: pass --divisible_by=8"],
        ),
        (
            {"depth_multiplier": 0.35},
            {"depth_multiplier": 0.35, "divisible_by": 8},
            ["its channels are rounded otherwise: leave --divisible_by out"],
        ),
        (
            {"atrous_rates": (6, 12, 18), "num_classes": 5, **DECODER},
            {},
            [
                "it has 3 atrous branches: pass --atrous_rates with 3 rates",
                "it has a decoder: pass --decoder_output_stride=4",
                "pass --num_classes=5",
            ],
        ),
    ],
)
def test_flags_that_fit_the_checkpoint_are_named(theirs, ours, hints, stored):
    with pytest.raises(UserError) as error:
        restore_model(_model(**ours), stored(_zeros(**theirs)))
    assert _hints(error) == hints


@pytest.mark.parametrize(
    ("scope", "hint"),
    [
        ("xception_65", "pass --model_variant=xception_65"),
        (
            "MobilenetV3",
            "pass --model_variant=mobilenet_v3_large_seg or --model_variant=mobilenet_v3_small_seg",
        ),
        ("vgg_16", "it holds logits, vgg_16, of no known --model_variant"),
    ],
)
@pytest.mark.parametrize("restore", [restore_model, restore_backbone, restore_for_training])
def test_another_backbone_is_named(scope, hint, restore, stored):
    logits = {name: array for name, array in _zeros().items() if name.startswith("logits/")}
    path = stored({f"{scope}/conv/weights": np.zeros(2, "float32")} | logits)
    with pytest.raises(UserError) as error:
        restore(_model(), path)
    assert _hints(error)[0] == hint


def test_variants_that_share_a_scope_are_told_apart(stored):
    large = {"model_variant": "mobilenet_v3_large_seg"}
    path = stored(_zeros(model_variant="mobilenet_v3_small_seg"))
    with pytest.raises(UserError, match="it has no MobilenetV3/") as error:
        restore_backbone(_model(**large), path)
    assert _hints(error) == ["pass --model_variant=mobilenet_v3_small_seg"]


def test_plain_resnet_and_beta_are_told_apart(stored):
    path = stored({"resnet_v1_50/conv1/weights": np.zeros((7, 7, 3, 64), "float32")})
    model = build_segmenter(ModelConfig(3, model_variant="resnet_v1_50_beta"))
    with pytest.raises(UserError, match="it has no resnet_v1_50/conv1_1/weights, ") as error:
        restore_backbone(model, path)
    assert _hints(error) == ["pass --model_variant=resnet_v1_50"]


def test_first_three_variables_are_named_with_their_shapes(stored):
    with pytest.raises(UserError) as error:
        restore_model(_model(), stored(_zeros(num_classes=5)))
    assert (
        "it has logits/semantic/weights (1, 1, 256, 5) (model: (1, 1, 256, 3)), "
        "logits/semantic/biases (5,) (model: (3,)); "
    ) in str(error.value)
    with pytest.raises(UserError, match="the model has no aspp1/weights; "):
        restore_model(_model(), stored(_zeros() | {"aspp1/weights": np.zeros(2, "float32")}))
    with pytest.raises(UserError, match=r"it has no MobilenetV2/\S+, MobilenetV2/\S+, MobilenetV2/\S+ and 252 more; "):
        restore_backbone(_model(), stored({"logits/semantic/biases": np.zeros(3, "float32")}))


def test_backbone_without_a_context_module_can_only_start_a_training(stored):
    arrays = {name: array for name, array in _zeros().items() if name.startswith("MobilenetV2/")}
    with pytest.raises(UserError, match="it has no context module, so it can only start a training"):
        restore_model(_model(), stored(arrays))


def test_training_is_told_of_the_backbone_alone(stored):
    path = stored(_zeros(depth_multiplier=0.2, num_classes=5, **DECODER))
    with pytest.raises(UserError) as error:
        restore_for_training(_model(), path)
    assert _hints(error) == ["pass --depth_multiplier=0.2"]
