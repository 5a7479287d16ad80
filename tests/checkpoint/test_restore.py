"""Restoring published checkpoints by name, and what is said where they do not fit."""

import numpy as np
import pytest

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.checkpoint.names import named_variables, published_name
from deeplab_dpc.checkpoint.restore import restore_backbone, restore_for_training, restore_model
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.segmenter import build_segmenter

TINY = {"depth_multiplier": 0.1}


def _model(num_classes=3, cell=None, **changes):
    cell = load_cell(cell) if cell else None
    return build_segmenter(ModelConfig(num_classes=num_classes, dense_prediction_cell=cell, **TINY | changes))


def _arrays(model):
    return {name: np.array(variable) for name, variable in named_variables(model).items()}


@pytest.fixture(scope="module")
def aspp_checkpoint(tmp_path_factory, write_tf1_checkpoint):
    """A checkpoint with ASPP and 3 classes, and its arrays, each filled with its index."""
    arrays = {
        name: np.full(array.shape, i, "float32") for i, (name, array) in enumerate(sorted(_arrays(_model()).items()))
    }
    extra = {"global_step": np.int64(3), "aspp0/weights/Momentum": np.zeros(2, "float32")}
    return write_tf1_checkpoint(tmp_path_factory.mktemp("aspp") / "model.ckpt", arrays | extra), arrays


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("segmenter/MobilenetV2/expanded_conv_1/expand/kernel", "MobilenetV2/expanded_conv_1/expand/weights"),
        ("segmenter/aspp/aspp1/aspp1_depthwise/depthwise_kernel", "aspp1_depthwise/depthwise_weights"),
        ("segmenter/aspp/image_pooling/BatchNorm/moving_mean", "image_pooling/BatchNorm/moving_mean"),
        ("segmenter/meta_architecture/branch3/kernel", "meta_architecture/branch3/weights"),
        (
            "segmenter/meta_architecture/branch0/branch0_pointwise/BatchNorm/gamma",
            "meta_architecture/branch0_pointwise/BatchNorm/gamma",
        ),
        ("segmenter/logits/semantic/bias", "logits/semantic/biases"),
    ],
)
def test_published_names(path, name):
    assert published_name(path) == name


def test_every_variable_is_restored_by_name(aspp_checkpoint):
    path, arrays = aspp_checkpoint
    model = _model()
    report = restore_model(model, path)
    assert (set(report.restored), report.unused) == (set(arrays), ())
    for name, value in _arrays(model).items():
        np.testing.assert_array_equal(value, arrays[name])


def test_another_number_of_classes_drops_the_logits_and_says_so(aspp_checkpoint):
    path, arrays = aspp_checkpoint
    model = _model(num_classes=5)
    fresh = _arrays(model)
    report = restore_for_training(model, path)
    assert "the checkpoint has 3 classes, the model 5" in str(report)
    assert set(report.initialized) == {"logits/semantic/weights", "logits/semantic/biases"}
    after = _arrays(model)
    np.testing.assert_array_equal(after["logits/semantic/weights"], fresh["logits/semantic/weights"])
    np.testing.assert_array_equal(after["aspp0/weights"], arrays["aspp0/weights"])


def test_cell_starts_fresh_on_the_backbone_of_an_aspp_checkpoint(aspp_checkpoint):
    path, arrays = aspp_checkpoint
    model = _model(cell="conv1x1")
    fresh = _arrays(model)
    report = restore_for_training(model, path)
    assert "starts fresh, with the logits" in str(report)
    after = _arrays(model)
    restored = {name for name in after if name.startswith("MobilenetV2/")}
    assert set(report.restored) == restored
    assert {name for name in after if np.array_equal(after[name], fresh[name])} >= set(after) - restored
    np.testing.assert_array_equal(after["MobilenetV2/Conv/weights"], arrays["MobilenetV2/Conv/weights"])


def test_last_layer_is_left_out_on_request(aspp_checkpoint):
    path, _ = aspp_checkpoint
    report = restore_for_training(_model(), path, initialize_last_layer=False)
    assert set(report.initialized) == {"logits/semantic/weights", "logits/semantic/biases"}


def test_backbone_alone(aspp_checkpoint):
    path, _ = aspp_checkpoint
    report = restore_backbone(_model(num_classes=9), path)
    assert {name.split("/")[0] for name in report.restored} == {"MobilenetV2"}
    assert {name.split("/")[0] for name in report.unused} == {"aspp0", "concat_projection", "image_pooling", "logits"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": 5}, r"it has logits/semantic/weights \(1, 1, 256, 3\) .*pass --num_classes=3\."),
        ({"depth_multiplier": 0.2}, "is the checkpoint of another model: .*choose --model_variant"),
        ({"cell": "conv1x1"}, "it has no meta_architecture/branch0/weights, .*leave --dense_prediction_cell_json out"),
        ({"atrous_rates": (6,)}, "it has no aspp1_depthwise/depthwise_weights"),
    ],
)
def test_checkpoint_of_another_model_is_named(aspp_checkpoint, changes, message):
    with pytest.raises(UserError, match=message):
        restore_model(_model(**changes), aspp_checkpoint[0])


def test_cell_checkpoint_for_an_aspp_model_asks_for_the_flag(tmp_path, write_tf1_checkpoint):
    path = write_tf1_checkpoint(tmp_path / "model.ckpt", _arrays(_model(cell="conv1x1")))
    with pytest.raises(UserError, match="it has a dense prediction cell: pass --dense_prediction_cell_json"):
        restore_model(_model(), path)


def test_checkpoint_without_a_part_of_aspp_is_an_error(aspp_checkpoint, tmp_path, write_tf1_checkpoint):
    arrays = {name: array for name, array in aspp_checkpoint[1].items() if name != "aspp0/weights"}
    with pytest.raises(UserError, match="it has no aspp0/weights"):
        restore_for_training(_model(), write_tf1_checkpoint(tmp_path / "model.ckpt", arrays))


def test_absent_truncated_and_wrong_files(aspp_checkpoint, tmp_path, write_tf1_checkpoint):
    with pytest.raises(UserError, match=r"nowhere\.index does not exist"):
        restore_model(_model(), str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="is a directory but no run"):
        restore_model(_model(), str(tmp_path))
    path = write_tf1_checkpoint(tmp_path / "cut", aspp_checkpoint[1])
    data = next(tmp_path.glob("cut.data-*"))
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(UserError, match="cut cannot be read: "):
        restore_model(_model(), path)
