"""Auto-DeepLab's retrained network: any genotype against the published code, sizes, low-level features, drop path."""

import dataclasses

import keras
import numpy as np
import pytest
from published_auto_deeplab import auto_deeplab
from published_network import Variables, fill_from_name

from deeplab_dpc.arch.genotype import Genotype
from deeplab_dpc.arch.library import published_genotype
from deeplab_dpc.checkpoint.mismatch import require
from deeplab_dpc.checkpoint.names import named_variables, published_name
from deeplab_dpc.config import InferenceConfig, ModelConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.conv import NormalizedConv
from deeplab_dpc.models.backbones import backbone_class, variants_of_scope
from deeplab_dpc.models.backbones.auto_deeplab import AutoDeepLab
from deeplab_dpc.models.inference_network import inference_network
from deeplab_dpc.models.predictor import Predictor
from deeplab_dpc.models.segmenter import Segmenter, build_segmenter
from deeplab_dpc.models.summary import summarize
from deeplab_dpc.training.optimizers import is_decayed

CITYSCAPES = ModelConfig(
    num_classes=19,
    model_variant="auto_deeplab_s",
    output_stride=8,
    atrous_rates=(12, 24, 36),
    aspp_with_separable_conv=False,
    decoder_output_stride=(4,),
    decoder_use_separable_conv=False,
)


def genotype(path: tuple[int, ...], *blocks: tuple[int, str, int, str]) -> Genotype:
    """From (state, operator, state, operator) of each block."""
    return Genotype.from_json(
        {
            "path": list(path),
            "blocks": [
                {"left": {"state": a, "operator": left}, "right": {"state": b, "operator": right}}
                for a, left, b, right in blocks
            ],
        }
    )


ODD_CELL = (
    (0, "avg_pool_3x3", 1, "max_pool_3x3"),
    (1, "skip", 0, "atrous_3x3"),
    (2, "skip", 3, "separable_5x5"),
    (4, "max_pool_3x3", 1, "atrous_5x5"),
)
GENOTYPES = {
    "published": published_genotype(),
    "first_layer_at_stride_8": genotype((1, 2, 3, 2, 1), *ODD_CELL),
    "ends_at_stride_4": genotype((0, 1, 0, 1, 1, 0), *ODD_CELL),
    "ends_at_stride_32": genotype((1, 2, 3), *ODD_CELL),
    "one_block": genotype((0, 0), (1, "skip", 0, "separable_3x3")),
}


def _build(config_or_backbone, size):
    model = config_or_backbone
    model.build((1, *size, 3))
    return model


def _names(backbone) -> dict[str, keras.Variable]:
    return {published_name(f"segmenter/{variable.path}"): variable for variable in backbone.weights}


ALIGNED, NOT_ALIGNED = (65, 97), (66, 80)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("published", NOT_ALIGNED),  # aligned, it is one of the reference models
        ("first_layer_at_stride_8", ALIGNED),
        ("first_layer_at_stride_8", NOT_ALIGNED),
        ("ends_at_stride_4", NOT_ALIGNED),
        ("ends_at_stride_32", ALIGNED),
        ("one_block", NOT_ALIGNED),
    ],
)
def test_backbone_equals_the_published_code(rng, name, size):
    found = GENOTYPES[name]
    filters = 64 if name == "one_block" else 3  # 64 are those of the stem, which the first cell then takes as they are
    image = rng.uniform(-1.0, 1.0, (2, *size, 3)).astype(np.float32)
    published = Variables(fill_from_name)
    features, outputs = auto_deeplab(published, image, found.to_json(), filters)
    backbone = _build(
        AutoDeepLab(found, nas_stem_output_num_conv_filters=filters, low_level_strides=(4,)),
        size,
    )
    ours = _names(backbone)
    assert {key: tuple(v.shape) for key, v in ours.items()} == {key: a.shape for key, a in published.arrays.items()}
    for key, variable in ours.items():
        variable.assign(published.arrays[key])
    found_features, (low_level,) = backbone(image)
    scale = np.abs(features).max()
    np.testing.assert_allclose(found_features, features, atol=1e-5 * scale)
    levels = (*found.path[:-1], None)
    cells_at_4 = [index for index, level in enumerate(levels) if level == 0]
    expected = outputs[2 + cells_at_4[-1]] if cells_at_4 else outputs[1]
    np.testing.assert_allclose(low_level, expected, atol=1e-5 * np.abs(expected).max())
    declared, declared_low_level = backbone.compute_output_shape(image.shape)
    assert (tuple(found_features.shape), (tuple(low_level.shape),)) == (declared, declared_low_level)
    trainable = sum(int(np.prod(v.shape)) for v in backbone.trainable_variables)
    assert backbone.cost(image.shape).trainable_parameters == trainable


def test_layers_have_the_published_sizes_and_channels():
    backbone = backbone_class("auto_deeplab_s")()
    shapes = [layer.compute_output_shape(shape)[1:] for layer, shape in backbone.steps((1, 321, 321, 3))]
    sides = [161, 161, 81, 81, 81, 81, 41, 21, 41, 21, 21, 11, 11, 21, 41]
    channels = [64, 64, 128, 100, 100, 100, 200, 400, 200, 400, 400, 800, 800, 400, 200]
    assert shapes == [(side, side, count) for side, count in zip(sides, channels, strict=True)]


@pytest.mark.parametrize(
    ("variant", "total", "backbone"),
    [
        ("auto_deeplab_s", 10_147_427, 7_030_832),
        ("auto_deeplab_m", 21_622_451, 17_612_096),
        ("auto_deeplab_l", 44_424_691, 39_222_656),
    ],
)
def test_parameters_are_the_published_ones(variant, total, backbone):
    whole = summarize(Segmenter(dataclasses.replace(CITYSCAPES, model_variant=variant)), (513, 513))
    assert whole.cost.trainable_parameters == total
    assert whole.parts[0].cost.trainable_parameters == backbone
    assert whole.output_shape == (129, 129, 19)


def test_separable_heads_have_the_other_published_variables():
    """By hand: three branches of 200 channels and two convolutions of the decoder, of 304 and 256, become separable."""
    config = dataclasses.replace(CITYSCAPES, aspp_with_separable_conv=True, decoder_use_separable_conv=True)
    full = 3 * (9 * 200 * 256 + 512) + 9 * 304 * 256 + 512 + 9 * 256 * 256 + 512

    def split(channels):
        return 9 * channels + 2 * channels + channels * 256 + 512

    total = 10_147_427 - full + 3 * split(200) + split(304) + split(256)
    model = Segmenter(config)
    assert summarize(model, (513, 513)).cost.trainable_parameters == total


def test_filters_come_from_deeplabs_flag_or_from_the_variant():
    config = ModelConfig(
        num_classes=2, model_variant="nas_hnasnet", output_stride=8, nas_stem_output_num_conv_filters=32
    )
    features, _ = Segmenter(config).backbone.compute_output_shape((1, 65, 65, 3))
    assert features == (1, 9, 9, 320)
    with pytest.raises(UserError, match="--nas_stem_output_num_conv_filters=32 has no meaning for .*auto_deeplab_s"):
        Segmenter(dataclasses.replace(config, model_variant="auto_deeplab_s"))
    assert variants_of_scope("hnasnet")[0] == "auto_deeplab"


def test_genotype_of_another_backbone_and_wrong_strides_are_errors():
    short = genotype((1, 0), *ODD_CELL)
    with pytest.raises(
        UserError, match="--genotype_json has no meaning for --model_variant=mobilenet_v2; leave it out"
    ):
        Segmenter(ModelConfig(num_classes=2, genotype=short))
    config = ModelConfig(num_classes=2, model_variant="auto_deeplab", genotype=short, output_stride=16)
    with pytest.raises(UserError, match="--output_stride=16 is not that of the genotype.*pass --output_stride=4"):
        Segmenter(config)
    with pytest.raises(UserError, match="--decoder_output_stride=8 is not one of 4, where low-level features are"):
        AutoDeepLab(genotype((0, 1), *ODD_CELL), low_level_strides=(8,))


def test_every_kernel_is_decayed_the_depthwise_ones_too():
    ours = _names(_build(AutoDeepLab(GENOTYPES["one_block"], 2), (33, 33)))
    decayed = {name for name, variable in ours.items() if is_decayed(variable)}
    assert decayed == {name for name in ours if name.endswith("weights")}
    assert any(name.endswith("separable_3x3_1/depthwise_weights") for name in decayed)


def test_alignment_is_the_largest_stride_inside():
    config = ModelConfig(num_classes=2, model_variant="auto_deeplab_s", output_stride=8)
    assert config.alignment == 32
    assert dataclasses.replace(config, genotype=genotype((1, 0), *ODD_CELL)).alignment == 8
    assert dataclasses.replace(config, model_variant="mobilenet_v2").alignment == 8
    assert ModelConfig.from_json(config.to_json()) == config
    given = dataclasses.replace(config, genotype=genotype((1, 0), *ODD_CELL))
    assert ModelConfig.from_json(given.to_json()) == given


@pytest.mark.parametrize(
    ("theirs", "hint"),
    [
        ({"nas_stem_output_num_conv_filters": 3}, "pass --model_variant=auto_deeplab --nas_stem.*_filters=3"),
        ({"genotype": GENOTYPES["one_block"]}, "its Auto-DeepLab is of another genotype: pass .* --genotype_json"),
    ],
)
def test_checkpoint_of_another_auto_deeplab_is_told_by_its_variables(theirs, hint):
    ours = ModelConfig(2, "auto_deeplab", 4, genotype=genotype((1, 0), *ODD_CELL), nas_stem_output_num_conv_filters=2)
    stored = dataclasses.replace(ours, **theirs)
    wanted, found = (
        {name: tuple(variable.shape) for name, variable in named_variables(build_segmenter(config)).items()}
        for config in (ours, stored)
    )
    with pytest.raises(UserError, match=hint):
        require(wanted, found, ours, "model.ckpt")


def test_backbone_made_from_its_config_is_the_same(rng):
    backbone = _build(AutoDeepLab(GENOTYPES["ends_at_stride_4"], 2, low_level_strides=(4,)), (33, 33))
    copy = _build(AutoDeepLab.from_config(backbone.get_config()), (33, 33))
    copy.set_weights(backbone.get_weights())
    image = rng.uniform(-1, 1, (1, 33, 33, 3)).astype("float32")
    np.testing.assert_array_equal(copy(image)[0], backbone(image)[0])
    cell = backbone.cells[1]
    cell_copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(cell))
    assert (cell_copy.blocks, cell_copy.level_change) == (cell.blocks, 1)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    """A network that goes down to stride 16 and ends at 4."""
    config = ModelConfig(
        num_classes=3,
        model_variant="auto_deeplab",
        output_stride=4,
        genotype=genotype((1, 2, 1, 0), *ODD_CELL),
        nas_stem_output_num_conv_filters=2,
        aspp_convs_filters=4,
    )
    model = build_segmenter(config)
    for variable in model.weights:
        variable.assign(fill_from_name(variable.path, tuple(variable.shape)))
    image = np.random.default_rng(0).uniform(0, 255, (1, 33, 49, 3)).astype("float32")
    bias = model.logits.semantic.bias
    bias.assign(bias - np.mean(model(image), axis=(0, 1, 2)))  # else one class is the largest everywhere
    return model


@pytest.mark.parametrize(
    ("crop", "padded"), [((), (33, 49)), ((49, 49), (49, 49)), ((45, 49), (45, 49))], ids=["any", "aligned", "not"]
)
def test_images_of_any_size_are_padded_to_align_with_all_strides(rng, segmenter, crop, padded):
    """16 k + 1, though the logits are at stride 4; at 45, which is 4 k + 1 alone, the features have another size."""
    image = rng.uniform(0, 255, (1, 30, 41, 3)).astype("float32")
    class_ids = Predictor(segmenter, InferenceConfig(eval_crop_size=crop)).class_ids
    whole = np.pad(image, ((0, 0), (0, padded[0] - 30), (0, padded[1] - 41), (0, 0)), constant_values=127.5)
    np.testing.assert_array_equal(class_ids.pad(image), whole)
    logits = kernels.resize_align_corners(segmenter(whole), *padded)[:, :30, :41]
    found = np.asarray(class_ids(image))
    assert found.shape == (1, 30, 41)
    assert len(np.unique(found)) > 1
    assert (found == np.argmax(logits, axis=-1)).mean() > 0.999


def test_folding_reaches_every_batch_norm_and_changes_nothing(rng, segmenter):
    folded = inference_network(segmenter, InferenceConfig(fold_batch_norm=True))
    norms = [layer.batch_norm for layer in folded._flatten_layers() if isinstance(layer, NormalizedConv)]
    assert all(norm.is_folded for norm in norms)
    assert len(norms) == sum(v.path.endswith("gamma") for v in folded.weights)
    image = rng.uniform(0, 255, (1, 33, 33, 3)).astype("float32")
    expected = np.asarray(segmenter(image))
    np.testing.assert_allclose(folded(image), expected, atol=1e-5 * np.abs(expected).max())


def test_drop_path_is_of_each_operator_but_skips_and_falls_to_the_last_cell():
    backbone = AutoDeepLab(genotype((0, 1, 0, 0), *ODD_CELL), 2, drop_path_keep_prob=0.6)
    probabilities = [
        [operator.drop_path.keep_prob if operator.drop_path else None for pair in cell.operators for operator in pair]
        for cell in backbone.cells
    ]
    for found, expected in zip(probabilities, (0.9, 0.8, 0.7, 0.6), strict=True):
        skipped = [None, None]  # the left operators of the blocks 1 and 2
        assert [found[2], found[4]] == skipped
        np.testing.assert_allclose([p for p in found if p is not None], [expected] * 6)


def test_operators_are_dropped_as_the_training_progresses(rng):
    """One cell, p = 1e-6: half way operators are kept with probability 1/2 and doubled, at the end none is."""
    pools = genotype((0,), (0, "max_pool_3x3", 1, "max_pool_3x3"))
    backbone = _build(AutoDeepLab(pools, 2, drop_path_keep_prob=1e-6), (5, 5))
    cell = backbone.cells[0]
    inputs = (rng.normal(size=(64, 2, 2, 128)).astype("float32"), rng.normal(size=(64, 3, 3, 64)).astype("float32"))
    whole = np.asarray(cell(inputs))
    for norm in (cell.previous_conv.batch_norm, cell.before_previous_conv.batch_norm):
        norm.frozen_statistics = True
    np.testing.assert_allclose(cell(inputs, training=True, progress=0.0), whole, rtol=1e-6)
    np.testing.assert_array_equal(cell(inputs, training=True, progress=1.0), np.zeros_like(whole))
    left, right = (
        np.asarray(operator(state)) for operator, state in zip(cell.operators[0], _states(cell, inputs), strict=True)
    )
    found = np.asarray(cell(inputs, training=True, progress=0.5))
    counts = [0, 0, 0, 0]
    for example, a, b in zip(found, left, right, strict=True):
        sums = (0 * a, 2 * a, 2 * b, 2 * a + 2 * b)
        matches = [np.allclose(example, expected, atol=1e-4) for expected in sums]
        assert sum(matches) == 1
        counts[matches.index(True)] += 1
    assert min(counts) >= 6  # 16 each on average, standard deviation 3.5


def _states(cell, inputs):
    previous, before = (np.maximum(x, 0) for x in inputs)
    before = cell.before_previous_conv(kernels.resize_align_corners(before, *previous.shape[1:3]))
    return cell.previous_conv(previous), before
