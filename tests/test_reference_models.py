"""Our models against what the published code computes from the same checkpoint."""

import importlib.util
import json

import numpy as np
import pytest
from PIL import Image

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.checkpoint.names import named_variables
from deeplab_dpc.checkpoint.restore import restore_model
from deeplab_dpc.cli.main import execute
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.models.segmenter import build_segmenter

CASES = (
    "mobilenet_v2_aspp",
    "mobilenet_v2_dpc",
    "xception_65_aspp_decoder",
    "resnet_v1_50_beta_aspp_decoder",
    "auto_deeplab_s",
)


@pytest.fixture(scope="module")
def values_module(shared):
    path = shared / "reference" / "checkpoints" / "variable_values.py"
    spec = importlib.util.spec_from_file_location("variable_values", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _config(facts) -> ModelConfig:
    """The network of a case; its flags are DeepLab's, which are the fields of ModelConfig."""
    flags = dict(facts["flags"])
    return ModelConfig(
        num_classes=facts["num_classes"],
        output_stride=facts["output_stride"],
        atrous_rates=tuple(facts["atrous_rates"] or ()),
        dense_prediction_cell=load_cell("dpc_top1") if facts["dense_prediction_cell"] else None,
        decoder_output_stride=tuple(int(stride) for stride in flags.pop("decoder_output_stride", ())),
        **{name: tuple(value) if isinstance(value, list) else value for name, value in flags.items()},
    )


@pytest.mark.parametrize("case", CASES)
def test_logits_equal_the_published_codes(shared, values_module, write_tf1_checkpoint, tmp_path, case):
    folder = shared / "reference" / "checkpoints"
    facts = json.loads((folder / f"{case}.json").read_text())
    expected = np.load(folder / f"{case}.npz")
    values = {name: values_module.fill(name, shape) for name, shape in dict(facts["variables"]).items()}
    write_tf1_checkpoint(tmp_path / "model.ckpt", values | {"global_step": np.int64(7)})
    model = build_segmenter(_config(facts))
    report = restore_model(model, str(tmp_path / "model.ckpt"))
    assert (set(report.restored), report.unused) == (set(values), ())
    assert set(named_variables(model)) == set(values)
    trainable = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    assert trainable == facts["trainable_parameters"]
    image = values_module.image(*facts["crop_size"])
    features = np.asarray(model.features(image))
    assert list(features.shape) == facts["features_shape"]
    means = expected["features_mean"]
    np.testing.assert_allclose(features.mean(axis=(0, 1, 2)), means, atol=1e-5 * np.abs(means).max())
    scale = np.abs(expected["logits"]).max()
    np.testing.assert_allclose(np.asarray(model(image)), expected["logits"], atol=1e-5 * scale)


PUBLISHED_SCALES = "0.5,0.75,1.0,1.25,1.5,1.75"


@pytest.mark.parametrize(
    ("output_stride", "stored", "flags"),
    [
        (16, "single", {}),
        pytest.param(8, "single", {}, marks=pytest.mark.long),
        pytest.param(
            16, "ms_flip", {"eval_scales": PUBLISHED_SCALES, "add_flipped_images": True}, marks=pytest.mark.long
        ),
        pytest.param(
            16,
            "single",
            {"fold_batch_norm": False, "model_variant": "mobilenet_v2", "num_classes": 21},
            marks=pytest.mark.long,
        ),
    ],
)
def test_real_images_are_predicted_as_by_the_published_code(shared, tmp_path, output_stride, stored, flags):
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    names = ("bird_segmentation", "owl")
    for name in names:
        (photographs / f"{name}.png").write_bytes((shared / "data" / "real_images" / f"{name}.png").read_bytes())
    flags = {
        "checkpoint_path": shared / "data" / "pretrained" / "deeplabv3_mnv2_pascal" / "model.ckpt",
        "output_stride": output_stride,
        "eval_crop_size": "513,513",
        "images": photographs,
        "output_dir": tmp_path / "predictions",
        **flags,
    }
    assert execute("predict", [f"--{name}={value}" for name, value in flags.items()]) == 0
    for name in names:
        predicted = np.asarray(Image.open(tmp_path / "predictions" / "class_ids" / f"{name}.png"))
        expected = np.asarray(Image.open(shared / "data" / "real_images" / f"{name}.os{output_stride}.{stored}.png"))
        assert (predicted == expected).mean() >= 0.999
        if (name, output_stride, stored) == ("bird_segmentation", 16, "single"):
            label = np.asarray(Image.open(shared / "data" / "real_images" / "bird_segmentation.label.png"))
            bird, true_bird = predicted == 3, label == 3
            assert (bird & true_bird).sum() / (bird | true_bird).sum() == pytest.approx(0.90, abs=0.01)
