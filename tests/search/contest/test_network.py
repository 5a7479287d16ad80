"""The network that finalists are trained in."""

import pytest

from deeplab_dpc.arch.library import published_genotype
from deeplab_dpc.config import ModelConfig, SearchConfig
from deeplab_dpc.config.train import InitialWeights
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.backbones.backbone import BACKBONE_OPTIONS
from deeplab_dpc.search.contest.network import rerank_network

MOBILENET = ModelConfig(num_classes=7, depth_multiplier=0.1)


def test_another_backbone_has_its_published_form_and_all_else_stays():
    proxy = ModelConfig(
        num_classes=7, model_variant="resnet_v1_50_beta", output_stride=8, multi_grid=(1, 2, 4), atrous_rates=(6, 12)
    )
    other = rerank_network(SearchConfig(rerank_model_variant="mobilenet_v3_large_seg"), proxy, InitialWeights())
    assert other.config == ModelConfig(
        num_classes=7, model_variant="mobilenet_v3_large_seg", output_stride=8, atrous_rates=(6, 12)
    )
    assert other.initial == InitialWeights()
    odd = ModelConfig(
        num_classes=7,
        depth_multiplier=0.5,
        divisible_by=4,
        multi_grid=(1, 2, 4),
        genotype=published_genotype(),
        nas_stem_output_num_conv_filters=8,
    )
    default = ModelConfig(num_classes=7)
    reset = rerank_network(SearchConfig(rerank_model_variant="xception_41"), odd, InitialWeights()).config
    assert all(getattr(reset, name) == getattr(default, name) != getattr(odd, name) for name in BACKBONE_OPTIONS)


def test_same_backbone_keeps_its_options_and_its_checkpoint():
    for config in (SearchConfig(), SearchConfig(rerank_model_variant="mobilenet_v2")):
        same = rerank_network(config, MOBILENET, InitialWeights("model.ckpt", True))
        assert (same.config, same.initial) == (MOBILENET, InitialWeights("model.ckpt", True))


def test_wrong_backbones_are_refused():
    with pytest.raises(UserError, match="--rerank_model_variant=resnet is not known; choose one of auto_deeplab, "):
        rerank_network(SearchConfig(rerank_model_variant="resnet"), MOBILENET, InitialWeights())
    expected = (
        "--rerank_model_variant=xception_65 cannot start from --tf_initial_checkpoint=model.ckpt, which is of "
        "mobilenet_v2; give a checkpoint of xception_65 as --rerank_initial_checkpoint."
    )
    with pytest.raises(UserError, match=expected):
        rerank_network(SearchConfig(rerank_model_variant="xception_65"), MOBILENET, InitialWeights("model.ckpt"))
    with pytest.raises(UserError, match="auto_deeplab_s has features at stride 8, the search at --output_stride=16"):
        rerank_network(SearchConfig(rerank_model_variant="auto_deeplab_s"), ModelConfig(7), InitialWeights())
