"""The network by part: counts against variables and against the published totals."""

import pathlib

import numpy as np
import pytest

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.cli.main import parse
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.models.segmenter import Segmenter, build_segmenter
from deeplab_dpc.models.summary import summarize

CITYSCAPES = {"num_classes": 19, "decoder_output_stride": (4,)}
RECIPE = pathlib.Path(__file__).resolve().parents[2] / "recipes" / "mobilenet_v3_cityscapes_model.flags"


def _lr_aspp(variant: str) -> ModelConfig:
    """The network of the recipe, in another size."""
    flags = parse("describe", [f"--flagfile={RECIPE}", f"--model_variant={variant}"])
    return flags.network.config(num_classes=19)


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(num_classes=3, depth_multiplier=0.1, atrous_rates=(6,), decoder_output_stride=(8, 4)),
        ModelConfig(num_classes=3, depth_multiplier=0.1, dense_prediction_cell=load_cell("psp")),
        _lr_aspp("mobilenet_v3_small_seg"),
    ],
    ids=["aspp", "cell", "lr_aspp"],
)
def test_every_trainable_variable_is_counted_once(config):
    model = build_segmenter(config)
    whole = summarize(model, (65, 97))
    assert whole.cost.trainable_parameters == sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    for part in whole.parts:
        assert sum(inner.cost.multiply_adds for inner in part.parts) == part.cost.multiply_adds
    assert whole.output_shape == tuple(model(np.zeros((1, 65, 97, 3), "float32")).shape[1:])


def test_parts_of_a_small_network_by_hand():
    whole = summarize(Segmenter(ModelConfig(num_classes=3, depth_multiplier=0.1, atrous_rates=(6,))), (33, 33))
    backbone, aspp, logits = whole.parts
    assert [part.name for part in aspp.parts] == ["image_pooling", "aspp0", "aspp1", "concat_projection"]
    # The stem: 3x3 from 3 to 3 channels (32 * 0.1), on 17 x 17.
    assert backbone.parts[0].cost.multiply_adds == 9 * 3 * 3 * 17 * 17
    # The features: 32 channels (320 * 0.1) on 3 x 3; image pooling convolves one position.
    assert [part.cost.multiply_adds for part in aspp.parts] == [
        32 * 256,
        32 * 256 * 9,
        (9 * 32 + 32 * 256) * 9,
        3 * 256 * 256 * 9,
    ]
    assert (logits.output_shape, logits.cost.multiply_adds) == ((3, 3, 3), 256 * 3 * 9)


@pytest.mark.parametrize(
    ("variant", "options", "printed"),
    [
        ("xception_65", {"atrous_rates": (6, 12, 18)}, 418.64e9),
        ("xception_71", {"dense_prediction_cell": load_cell("dpc_top1")}, 502.07e9),
    ],
)
def test_whole_networks_have_the_published_multiply_adds(variant, options, printed):
    model = Segmenter(ModelConfig(model_variant=variant, **CITYSCAPES, **options))
    assert summarize(model, (1025, 2049)).cost.multiply_adds == pytest.approx(printed, rel=1e-3)


@pytest.mark.parametrize(("variant", "printed"), [("large", 1.51e6), ("small", 0.47e6)])
def test_mobilenet_v3_with_lr_aspp_has_the_printed_parameters(variant, printed):
    # arXiv:1905.02244, Table 8: 1.51M and 0.47M.
    model = Segmenter(_lr_aspp(f"mobilenet_v3_{variant}_seg"))
    assert summarize(model, (65, 65)).cost.trainable_parameters == pytest.approx(printed, abs=0.005e6)
