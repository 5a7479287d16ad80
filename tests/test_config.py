"""Configurations: JSON both ways, and what they refuse."""

import dataclasses
import json

import pytest

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.config import (
    AutoDeepLabConfig,
    DataConfig,
    InferenceConfig,
    JudgeConfig,
    ModelConfig,
    SearchConfig,
    ServiceConfig,
    TrainConfig,
)
from deeplab_dpc.errors import UserError


def test_model_configuration_survives_json():
    config = ModelConfig(
        num_classes=3,
        dense_prediction_cell=load_cell("psp"),
        multi_grid=(1, 2, 4),
        image_pooling_crop_size=(65, 97),
        divisible_by=8,
    )
    assert ModelConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_field_of_another_version_is_named():
    with pytest.raises(UserError, match="ModelConfig has no field branches; it was written by another version"):
        ModelConfig.from_json({"num_classes": 3, "branches": 5})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cache": "ram"}, "--cache must be one of none, memory, disk, got ram"),
        ({"max_resize_value": 5}, "--max_resize_value and --resize_factor need --min_resize_value"),
        ({"photometric_jitter": 1.0}, r"--photometric_jitter must be in \[0, 1\), got 1.0"),
        ({"scale_factor_step_size": -1.0}, "--scale_factor_step_size must not be negative, got -1.0"),
    ],
)
def test_data_options_out_of_range_are_one_sentence(options, message):
    with pytest.raises(UserError, match=message):
        DataConfig(data_dir="", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_policy": "exp"}, "--learning_policy must be one of poly, step, cosine, got exp"),
        ({"optimizer": "sgd"}, "--optimizer must be one of momentum, adam, adamw, got sgd"),
        ({"precision": "half"}, "--precision must be one of float32, bfloat16, float16, got half"),
        ({"slow_start_burnin_type": "cosine"}, "--slow_start_burnin_type must be one of none, linear, got cosine"),
        ({"momentum": 1.0}, r"--momentum must be in \[0, 1\), got 1.0"),
        ({"top_k_percent_pixels": 0.0}, r"--top_k_percent_pixels must be in \(0, 1\], got 0.0"),
        ({"hard_example_mining_step": 5}, "--hard_example_mining_step has no meaning without --top_k_percent_pixels"),
        ({"label_weights": (1.0, -1.0)}, "--label_weights must not be negative, got 1.0,-1.0"),
        ({"gradient_accumulation_steps": 3}, "--train_batch_size=8 cannot be divided into .*=3 equal parts"),
        ({"clip_gradient_norm": -1.0}, "--clip_gradient_norm must not be negative, got -1.0"),
        ({"loss_quadrature_nodes": -1}, "--loss_quadrature_nodes must not be negative, got -1"),
        ({"log_steps": 0}, "--log_steps must be greater than 0, got 0"),
    ],
)
def test_training_options_out_of_range_are_one_sentence(options, message):
    with pytest.raises(UserError, match=message):
        TrainConfig(**options)


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ({"top_k_percent_pixels": 0.25}, "--top_k_percent_pixels=0.25"),
        ({"focal_loss_weight": 1.0, "dice_loss_weight": 0.5}, "--focal_loss_weight=1, --dice_loss_weight=0.5"),
        ({"upsample_logits": False}, "--noupsample_logits"),
    ],
)
def test_quadrature_is_refused_with_what_needs_the_loss_of_each_pixel(options, flags):
    with pytest.raises(UserError, match=f"^--loss_quadrature_nodes=3 .* cannot be combined with {flags}; leave one or"):
        TrainConfig(loss_quadrature_nodes=3, **options)


def test_label_weights_of_a_search_must_not_be_negative():
    with pytest.raises(UserError, match="--label_weights must not be negative, got 1.0,-1.0"):
        SearchConfig(label_weights=(1.0, -1.0))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([], r"ModelConfig must be an object with a value for each field, got \[\]"),
        ({}, "ModelConfig lacks the field num_classes"),
        ({"num_classes": "3"}, "ModelConfig.num_classes must be int, got '3'"),
        ({"num_classes": True}, "ModelConfig.num_classes must be int, got True"),
        ({"num_classes": 3.0}, r"ModelConfig.num_classes must be int, got 3\.0"),
        ({"num_classes": 3, "model_variant": None}, "ModelConfig.model_variant must be str, got None"),
        ({"num_classes": 3, "divisible_by": []}, r"ModelConfig.divisible_by must be int \| None, got \[\]"),
        ({"num_classes": 3, "atrous_rates": 6}, r"ModelConfig.atrous_rates must be tuple\[int, \.\.\.\], got 6"),
        ({"num_classes": 3, "atrous_rates": [6, "x"]}, r"ModelConfig.atrous_rates must be .*, got \[6, 'x'\]"),
        ({"num_classes": 3, "image_pooling_stride": [1]}, r"ModelConfig.image_pooling_stride must be .*, got \[1\]"),
        ({"num_classes": 3, "add_image_level_feature": 1}, "ModelConfig.add_image_level_feature must be bool, got 1"),
        (
            {"num_classes": 3, "model_variant": ["x" * 999]},
            r"ModelConfig.model_variant must be str, got \['x{98}\.\.\.",
        ),
    ],
)
def test_fields_of_another_type_are_named(fields, message):
    with pytest.raises(UserError, match=rf"^{message}\.$"):
        ModelConfig.from_json(fields)


def test_whole_numbers_are_real_ones():
    assert ModelConfig.from_json({"num_classes": 3, "depth_multiplier": 1}).depth_multiplier == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 10**10}, "--num_classes must be at most 1,048,576, got 10000000000"),
        ({"atrous_rates": (6, 2**62)}, "--atrous_rates must be at most 1,048,576, got 6,4611686018427387904"),
        ({"depth_multiplier": 1e300}, r"--depth_multiplier must be at most 1,048,576, got 1e\+300"),
    ],
)
def test_numbers_that_no_network_has_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        ModelConfig(**{"num_classes": 3, **options})


WHOLE = (
    *(ModelConfig(2), DataConfig("D"), TrainConfig(), SearchConfig(), ServiceConfig(), AutoDeepLabConfig()),
    *(InferenceConfig(), JudgeConfig()),
)
FLOATS = [(config, field) for config in WHOLE for field in dataclasses.fields(config) if "float" in str(field.type)]


@pytest.mark.parametrize(("config", "field"), FLOATS, ids=lambda one: getattr(one, "name", type(one).__name__))
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_numbers_that_json_does_not_have_are_refused(config, field, value):
    """A run with one of them could not be read again."""
    with pytest.raises(UserError, match=f"--{field.name}"):
        dataclasses.replace(config, **{field.name: (value,) if "tuple" in str(field.type) else value})
