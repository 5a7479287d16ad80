"""The network of a checkpoint from the names and shapes of its variables: as it was built, without a flag."""

import dataclasses
import functools
import json

import keras
import pytest
from tiny_network import tiny_network

from deeplab_dpc.api.loaded import network_of_checkpoint
from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.checkpoint import found_network
from deeplab_dpc.checkpoint.found_network import find_backbone, find_network
from deeplab_dpc.checkpoint.names import named_variables
from deeplab_dpc.checkpoint.published import CHECKPOINTS
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import write_json
from deeplab_dpc.models.segmenter import build_segmenter
from deeplab_dpc.run_config import open_run

NARROW = {"depth_multiplier": 0.1}
DECODER = {"decoder_output_stride": (4,)}
DPC = {"dense_prediction_cell": load_cell("dpc_top1")}
XCEPTION = {"atrous_rates": (6, 12, 18), **DECODER}
LR_ASPP = {
    "output_stride": 32,
    "image_pooling_crop_size": (769, 769),
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
PUBLISHED = {
    "mobilenetv2_dm05_coco_voc_trainaug": ModelConfig(21, depth_multiplier=0.5),
    "mobilenetv2_coco_voc_trainaug": ModelConfig(21),
    "xception65_coco_voc_trainaug": ModelConfig(21, "xception_65", **XCEPTION),
    "mobilenetv2_coco_cityscapes_trainfine": ModelConfig(19),
    "mobilenetv3_large_cityscapes_trainfine": ModelConfig(19, "mobilenet_v3_large_seg", **LR_ASPP),
    "mobilenetv3_small_cityscapes_trainfine": ModelConfig(19, "mobilenet_v3_small_seg", **LR_ASPP),
    "edgetpu_deeplab": ModelConfig(19, "mobilenet_edgetpu"),
    "edgetpu_deeplab_slim": ModelConfig(19, "mobilenet_edgetpu", depth_multiplier=0.75, aspp_convs_filters=128),
    "xception65_cityscapes_trainfine": ModelConfig(19, "xception_65", **XCEPTION),
    "xception71_dpc_cityscapes_trainfine": ModelConfig(19, "xception_71", **DPC, **DECODER),
    "mobilenetv2_ade20k_train": ModelConfig(151, **DECODER),
    "xception65_ade20k_train": ModelConfig(151, "xception_65", **XCEPTION),
}
SAME = {
    "mobilenetv2_dm05_coco_voc_trainval": "mobilenetv2_dm05_coco_voc_trainaug",
    "mobilenetv2_coco_voc_trainval": "mobilenetv2_coco_voc_trainaug",
    "xception65_coco_voc_trainval": "xception65_coco_voc_trainaug",
    "xception71_dpc_cityscapes_trainval": "xception71_dpc_cityscapes_trainfine",
}
OTHER_CLASSES = ("xception65_cityscapes_trainfine", "xception65_ade20k_train")  # all that is other in them
OTHERS = {
    "rounded as Keras": ModelConfig(3, depth_multiplier=0.35, divisible_by=8),
    "rounded as published": ModelConfig(3, depth_multiplier=0.35),
    "V3, narrower": ModelConfig(3, "mobilenet_v3_large_seg", depth_multiplier=0.75),
    "no image-level feature": ModelConfig(4, add_image_level_feature=False, aspp_convs_filters=8, **NARROW),
    "full convolutions": ModelConfig(
        5, atrous_rates=(6, 12, 18), aspp_with_separable_conv=False, decoder_use_separable_conv=False, **DECODER
    ),
    "no projection": ModelConfig(2, aspp_with_concat_projection=False, **NARROW),
    "gate": ModelConfig(2, aspp_with_squeeze_and_excitation=True, **NARROW),
    "sum": ModelConfig(2, decoder_use_sum_merge=True, decoder_filters=16, decoder_output_stride=(8,)),
    "two stages": ModelConfig(2, "xception_41", decoder_output_stride=(8, 4)),
    "decoder at stride 16": ModelConfig(2, decoder_output_stride=(16,), **NARROW),
    "ResNet": ModelConfig(21, "resnet_v1_50_beta", multi_grid=(1, 2, 4), **XCEPTION),
    "plain ResNet": ModelConfig(21, "resnet_v1_50", **XCEPTION),
    "Auto-DeepLab": ModelConfig(
        19, "auto_deeplab", output_stride=8, nas_stem_output_num_conv_filters=32, atrous_rates=(12, 24, 36), **DECODER
    ),
}


@functools.cache
def shapes_of(config):
    """The shapes of a network's variables by published name; no variable gets a value."""
    with keras.StatelessScope(initialize_variables=False):
        variables = named_variables(build_segmenter(config))
    return {name: tuple(variable.shape) for name, variable in variables.items()}


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Makes shapes by name those of a checkpoint; returns its prefix."""

    def store(shapes, prefix=tmp_path / "model.ckpt"):
        monkeypatch.setattr(found_network, "variable_shapes", {str(prefix): shapes}.__getitem__)
        (tmp_path / "model.ckpt.index").touch()
        return str(prefix)

    return store


BUILT = {name: config for name, config in {**PUBLISHED, **OTHERS}.items() if name not in OTHER_CLASSES}


@pytest.mark.parametrize("config", BUILT.values(), ids=BUILT)
def test_network_is_the_one_that_was_built(config, stored):
    assert network_of_checkpoint(stored(shapes_of(config)), {}) == config


def test_stride_of_a_decoder_is_the_finest_where_channels_do_not_tell(stored):
    config = ModelConfig(2, decoder_output_stride=(8,), **NARROW)  # 48 channels at stride 4 too
    found = find_network(stored(shapes_of(config)), {})
    assert "decoder_output_stride" not in found.read
    assert found.assumed["decoder_output_stride"] == (4,)


def test_every_published_network_is_read_off_its_variables():
    whole = {name for name, published in CHECKPOINTS.items() if published.dataset is not None}
    assert {*PUBLISHED, *SAME} == whole
    for name in whole:
        config = PUBLISHED[SAME.get(name, name)]
        assert config.num_classes == CHECKPOINTS[name].num_classes
        assert CHECKPOINTS[name].network == CHECKPOINTS[SAME.get(name, name)].network


@pytest.mark.parametrize(
    "case",
    [
        "mobilenet_v2_aspp",
        "mobilenet_v2_dpc",
        "xception_65_aspp_decoder",
        "resnet_v1_50_beta_aspp_decoder",
        "auto_deeplab_s",
    ],
)
def test_flags_of_the_published_codes_variables_are_those_that_made_them(case, shared, stored):
    facts = json.loads((shared / "reference" / "checkpoints" / f"{case}.json").read_text())
    flags = {
        name: tuple(map(int, value)) if isinstance(value, list) else value for name, value in facts["flags"].items()
    }
    expected = ModelConfig(
        num_classes=facts["num_classes"],
        output_stride=facts["output_stride"],
        atrous_rates=tuple(facts["atrous_rates"] or ()),
        **(DPC if facts["dense_prediction_cell"] else {}),
        **flags | ({"model_variant": "auto_deeplab"} if case == "auto_deeplab_s" else {}),  # two names of one backbone
    )
    prefix = stored({name: tuple(shape) for name, shape in dict(facts["variables"]).items()})
    assert network_of_checkpoint(prefix, {}) == expected


def test_real_checkpoint_needs_no_flag(shared):
    prefix = shared / "data" / "pretrained" / "deeplabv3_mnv2_pascal" / "model.ckpt"
    assert network_of_checkpoint(str(prefix), {}) == ModelConfig(21)


def test_what_was_found_and_what_is_assumed_is_said_in_one_line(stored):
    prefix = stored(shapes_of(PUBLISHED["mobilenetv2_dm05_coco_voc_trainaug"]))
    assert str(find_network(prefix, {})) == (
        f"The network of {prefix}: by its variables --model_variant=mobilenet_v2 --depth_multiplier=0.5 "
        "--num_classes=21; not in them and taken as published --output_stride=16."
    )
    prefix = stored(shapes_of(OTHERS["full convolutions"]))
    said = str(find_network(prefix, {"num_classes": 5, "output_stride": 8}))
    assert "--noaspp_with_separable_conv " in said
    assert "--decoder_output_stride=4" in said
    assert said.endswith("; not in them and taken as published --atrous_rates=12,24,36.")
    prefix = stored(shapes_of(PUBLISHED["xception71_dpc_cityscapes_trainfine"]))
    assert "published --output_stride=16 --dense_prediction_cell_json=dpc_top1." in str(find_network(prefix, {}))


def test_published_size_of_images_is_said(stored, host, monkeypatch):
    monkeypatch.setattr(found_network, "located", lambda source: f"cache/{source}")
    name = "mobilenetv2_ade20k_train"
    stored(shapes_of(PUBLISHED[name]), prefix=f"cache/{name}")
    assert "published with images scaled to a longest side of 257 pixels, which is not done here." in str(
        find_network(name, {})
    )


def test_given_fields_win(stored):
    prefix = stored(shapes_of(OTHERS["full convolutions"]))
    assert network_of_checkpoint(prefix, {"output_stride": 8}).atrous_rates == (12, 24, 36)
    assert network_of_checkpoint(prefix, {"atrous_rates": (4, 5, 6)}).atrous_rates == (4, 5, 6)
    contradicting = {"model_variant": "xception_65", "num_classes": 3, "decoder_output_stride": ()}
    options = {"aspp_with_separable_conv": False, "decoder_use_separable_conv": False}
    expected = ModelConfig(3, "xception_65", atrous_rates=(6, 12, 18), **options)
    assert network_of_checkpoint(prefix, contradicting) == expected


def test_given_fields_of_a_wrong_type_or_value_are_named(stored):
    prefix = stored(shapes_of(OTHERS["full convolutions"]))
    with pytest.raises(UserError, match="ModelConfig.output_stride must be int, got '16'"):
        network_of_checkpoint(prefix, {"output_stride": "16"})
    with pytest.raises(UserError, match=r"--output_stride must be one of \(8, 16, 32\), got 0"):
        network_of_checkpoint(prefix, {"output_stride": 0})
    with pytest.raises(TypeError, match="There is no option 'output_strid'; did you mean output_stride"):
        network_of_checkpoint(prefix, {"output_strid": 16})


def test_cell_beside_a_checkpoint_is_taken(stored):
    config = ModelConfig(3, dense_prediction_cell=load_cell("psp"), **NARROW)
    prefix = stored(shapes_of(config))
    with pytest.raises(UserError, match="another dense prediction cell than the published one, dpc_top1: pass it with"):
        find_network(prefix, {})
    assert network_of_checkpoint(prefix, {"dense_prediction_cell": "psp"}) == config
    write_json(f"{prefix}.cell.json", config.dense_prediction_cell.to_json())
    assert network_of_checkpoint(prefix, {}) == config


def test_genotype_that_is_given_says_the_channels(stored):
    config = tiny_network(3)
    options = {"genotype": config.genotype, "dense_prediction_cell": config.dense_prediction_cell}
    assert network_of_checkpoint(stored(shapes_of(config)), options) == config


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (lambda: shapes_of(ModelConfig(3, atrous_rates=(6, 12), **NARROW)), "has 2 atrous branches, .* with 2"),
        (
            lambda: {name: shape for name, shape in shapes_of(ModelConfig(3, **NARROW)).items() if "Mobile" in name},
            "has no logits, so it can only start a training or a search: --tf_initial_checkpoint",
        ),
        (lambda: {"logits/semantic/biases": ()}, "holds , of no known --model_variant"),
        (lambda: {"vgg_16/conv/weights": (3, 3, 3, 64)}, "holds vgg_16, of no known --model_variant"),
    ],
)
def test_what_is_not_found_must_be_given(shapes, message, stored):
    with pytest.raises(UserError, match=message):
        find_network(stored(shapes()), {})


def test_backbones_by_name_are_refused_before_they_are_downloaded(host):
    for name in ("imagenet", "xception_65_imagenet_coco"):
        with pytest.raises(UserError, match=f"{name} is a backbone without logits; it can only start a training"):
            find_network(name, {})
    assert host.asked == []


@pytest.mark.parametrize("config", BUILT.values(), ids=BUILT)
def test_backbone_of_a_start_is_the_one_that_was_built(config, stored):
    backbone = {name: shape for name, shape in shapes_of(config).items() if not name.startswith(("logits", "decoder"))}
    found = find_backbone(stored(backbone), {})
    assert {**dataclasses.asdict(ModelConfig(2)), **found} == {
        **dataclasses.asdict(ModelConfig(2)),
        **{name: getattr(config, name) for name in ("model_variant", *found_network.WIDTH)},
    }


def test_backbone_of_a_start_leaves_what_is_given(stored):
    prefix = stored(shapes_of(OTHERS["rounded as Keras"]))
    assert find_backbone(prefix, {}) == {"model_variant": "mobilenet_v2", "depth_multiplier": 0.35, "divisible_by": 8}
    assert find_backbone(prefix, {"depth_multiplier": 0.35, "divisible_by": 4}) == {"model_variant": "mobilenet_v2"}
    assert find_backbone("imagenet", {}) == {}
    prefix = stored(shapes_of(OTHERS["Auto-DeepLab"]))
    assert find_backbone(prefix, {"model_variant": "nas_hnasnet"}) == {"nas_stem_output_num_conv_filters": 32}
    assert find_backbone(prefix, {"model_variant": "auto_deeplab_m"}) == {}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"model_variant": "xception_65"}, ("--model_variant=xception_65", "--model_variant=mobilenet_v2")),
        ({"depth_multiplier": 1.0}, ("--depth_multiplier=1.0", "--depth_multiplier=0.35")),
    ],
)
def test_backbone_of_a_start_that_is_contradicted(given, named, stored):
    prefix = stored(shapes_of(OTHERS["rounded as published"]))
    with pytest.raises(UserError) as error:
        find_backbone(prefix, given)
    assert str(error.value) == (
        f"{named[0]} contradicts --tf_initial_checkpoint={prefix}, whose backbone has {named[1]}: leave one of the two "
        "out."
    )


def test_backbone_of_a_start_that_is_none(stored, tmp_path):
    with pytest.raises(UserError, match="holds VGG, of no known --model_variant"):
        find_backbone(stored({"VGG/weights": (3, 3, 3, 8)}), {"model_variant": "mobilenet_v2"})
    with pytest.raises(UserError, match="There is no checkpoint"):
        find_backbone(str(tmp_path / "absent"), {})


def test_backbone_of_a_start_from_a_run_and_of_one_that_is_begun(tmp_path):
    open_run(tmp_path / "run", {"model": ModelConfig(3, depth_multiplier=0.5, divisible_by=4)})
    expected = {"model_variant": "mobilenet_v2", "depth_multiplier": 0.5, "divisible_by": 4}
    open_run(tmp_path / "xception", {"model": ModelConfig(3, "xception_41")})
    # Its start is gone, and its own flags are compared with all of its configuration.
    assert find_backbone("gone", {}, run=tmp_path / "run") == expected
    assert find_backbone("gone", {"model_variant": "xception_65"}, run=tmp_path / "xception") == {}
    (tmp_path / "run" / "checkpoints" / "step_00000001").mkdir(parents=True)
    assert find_backbone(str(tmp_path / "run"), {}, run=tmp_path / "new") == expected
    open_run(tmp_path / "plain", {"model": ModelConfig(3)})
    plain = {"model_variant": "mobilenet_v2", "depth_multiplier": 1.0}  # and nothing of --divisible_by
    assert find_backbone("gone", {}, run=tmp_path / "plain") == plain
