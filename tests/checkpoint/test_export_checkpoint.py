"""Commands that write and read TensorFlow 1 checkpoints: export.py --export_checkpoint, and the flags of restoring."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.checkpoint.names import named_arrays
from deeplab_dpc.checkpoint.restore import restore_for_training
from deeplab_dpc.checkpoint.tf1 import read_tf1_checkpoint, write_tf1_checkpoint
from deeplab_dpc.cli.main import execute
from deeplab_dpc.config import DataConfig, ModelConfig, TrainConfig
from deeplab_dpc.models.segmenter import build_segmenter
from deeplab_dpc.training.trainer import train

MODEL = ModelConfig(num_classes=7, depth_multiplier=0.1, aspp_convs_filters=8)
MODEL_FLAGS = {"num_classes": 7, "depth_multiplier": 0.1, "aspp_convs_filters": 8}


def _argv(**flags):
    return [f"--{name}={value}" for name, value in flags.items()]


@pytest.fixture
def published(tmp_path):
    """A checkpoint at step 7 with moving averages of one variable, and its arrays without them."""
    arrays = named_arrays(build_segmenter(MODEL))
    average = {"aspp0/weights/ExponentialMovingAverage": np.full(arrays["aspp0/weights"].shape, 0.5, "float32")}
    write_tf1_checkpoint(tmp_path / "published.ckpt", arrays | average, step=7)
    return tmp_path / "published.ckpt", arrays


def test_run_is_exported_under_the_published_names_with_its_step(shapes, tmp_path):
    config = TrainConfig(training_number_of_steps=1, train_batch_size=2)
    network = dataclasses.replace(MODEL, dense_prediction_cell=load_cell("conv1x1"))
    model = train(tmp_path / "run", network, DataConfig(data_dir="", train_crop_size=(33, 33)), config, shapes)
    prefix = tmp_path / "exported" / "model.ckpt"
    assert execute("export", _argv(workdir=tmp_path / "run", export_checkpoint=prefix)) == 0
    exported, trained = read_tf1_checkpoint(str(prefix)), named_arrays(model)
    assert exported.keys() == trained.keys()
    for name, array in trained.items():
        np.testing.assert_array_equal(exported[name], array, err_msg=name)
    assert tf.train.load_variable(str(prefix), "global_step") == 1
    # The cell lies beside it, so that a training with the same cell takes it over.
    assert restore_for_training(model, str(prefix)).initialized == ()
    (prefix.parent / "model.ckpt.cell.json").unlink()
    assert "need not be its cell" in restore_for_training(model, str(prefix)).reasons[0]


def test_published_checkpoint_is_exported_with_its_moving_averages_beside_a_saved_model(published, tmp_path):
    source, arrays = published
    flags = {
        **MODEL_FLAGS,
        "checkpoint_path": source,
        "restore_moving_averages": True,
        "export_checkpoint": tmp_path / "averaged.ckpt",
        "export_dir": tmp_path / "saved_model",
        "check": False,
    }
    assert execute("export", _argv(**flags)) == 0
    exported = read_tf1_checkpoint(str(tmp_path / "averaged.ckpt"))
    assert exported.keys() == arrays.keys()
    assert np.unique(exported["aspp0/weights"]) == [0.5]
    np.testing.assert_array_equal(exported["image_pooling/weights"], arrays["image_pooling/weights"])
    assert tf.train.load_variable(str(tmp_path / "averaged.ckpt"), "global_step") == 0
    assert (tmp_path / "saved_model" / "saved_model.pb").exists()


def test_existing_checkpoint_of_other_weights_is_refused_before_anything_is_written(published, tmp_path, capsys):
    source, arrays = published
    other = tmp_path / "other.ckpt"
    write_tf1_checkpoint(other, arrays | {"aspp0/weights": arrays["aspp0/weights"] + 1}, step=7)
    flags = {"checkpoint_path": source, "export_checkpoint": other, "export_dir": tmp_path / "saved_model"}
    assert execute("export", _argv(**MODEL_FLAGS, **flags)) == 2
    assert "other.ckpt exists" in capsys.readouterr().err
    assert not (tmp_path / "saved_model").exists()


@pytest.mark.parametrize(
    ("command", "argv", "message"),
    [
        ("export", ["--workdir=w"], "Give --export_dir (for a SavedModel), --export_checkpoint (for a checkpoint)"),
        ("export", ["--workdir=w", "--export_checkpoint=."], "--export_checkpoint=. is a folder; give the prefix"),
        ("eval", ["--workdir=w", "--restore_moving_averages"], "--restore_moving_averages is for --checkpoint_path"),
        ("search", ["--workdir=w", "--restore_moving_averages"], "--restore_moving_averages is for --tf_initial_ch"),
    ],
)
def test_mistakes_get_one_sentence(command, argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert execute(command, argv) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
