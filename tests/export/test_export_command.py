"""export.py: every export is checked on real images, and is there whole, or not at all."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

import deeplab_dpc.cli.export as command
from deeplab_dpc.api import verified_export
from deeplab_dpc.cli.main import execute
from deeplab_dpc.cli.model_source import LoadedModel
from deeplab_dpc.data.dataset_info import pascal_palette
from deeplab_dpc.errors import UserError
from deeplab_dpc.export.model_info import MODEL_INFO
from deeplab_dpc.export.saved_model import ASSETS_EXTRA, seal_saved_model


@pytest.fixture
def run(tmp_path, network, shapes, monkeypatch):
    """The directory of a run on the drawn scenes, whose network every command here loads."""
    workdir = tmp_path / "run"
    workdir.mkdir()
    data = {"data_dir": str(shapes.path.parents[1]), "train_split": "train"}
    (workdir / "config.json").write_text(json.dumps({"data": data}))
    loaded = LoadedModel(
        segmenter=network,
        class_names=tuple("abcd"),
        palette=pascal_palette(4),
        ignore_label=255,
        source="as text",
        portable_source="run, step 7",
        workdir=workdir,
        step=7,
    )
    monkeypatch.setattr(command, "load_models", lambda source: [loaded])
    return loaded


@pytest.fixture
def published(run, monkeypatch):
    """Makes the same network a published checkpoint, which comes without images."""
    monkeypatch.setattr(command, "load_models", lambda source: [dataclasses.replace(run, workdir=None)])


@pytest.fixture
def photographs(tmp_path, rng):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name in ("a.png", "b.JPG"):
        Image.fromarray(rng.integers(0, 256, size=(40, 56, 3)).astype("uint8")).save(folder / name)
    return folder


def _export(**flags):
    return execute("export", [f"--{name}={value}" for name, value in flags.items()])


class Exported:
    """An exported model that says class 0 everywhere."""

    def __init__(self):
        self.shapes = []

    def predict_batch(self, images):
        self.shapes.append(images.shape)
        return np.zeros(images.shape[:3], "int32")


@pytest.fixture
def written(monkeypatch):
    """Records the arguments of export_saved_model and export_onnx, which write nothing."""
    calls = {}

    def export_saved_model(predictor, path, info, options, warmup_size):
        calls.update(path=path, info=info, options=options, warmup_size=warmup_size)
        path.mkdir()
        (path / "saved_model.pb").write_text("graph")

    def export_onnx(predictor, path, info, size):
        calls.update(path=path, info=info, size=size)
        path.write_text("graph")

    monkeypatch.setattr(verified_export, "export_saved_model", export_saved_model)
    monkeypatch.setattr(verified_export, "export_onnx", export_onnx)
    return calls


@pytest.mark.long
def test_an_export_is_compared_with_itself_and_with_the_network_on_images_of_the_run(run, tmp_path, capsys):
    flags = {"num_check_images": 2, "argmax_before_upsampling": True}
    assert _export(workdir="w", export_dir=tmp_path / "model", **flags) == 0
    shown = capsys.readouterr().out
    # 2 x 65 x 81
    assert "as the Keras model: 100.0000 % of the pixels of 2 images are equal (0 of 10,530 differ" in shown
    assert "as the network at full size, whose logits are upsampled: " in shown
    assert "as the network at full size, whose logits are upsampled: 100.0000 %" not in shown
    info = (tmp_path / "model" / ASSETS_EXTRA / MODEL_INFO).read_text()
    assert json.loads(info)["source"] == "run, step 7"
    assert json.loads(info)["export"]["argmax_before_upsampling"] is True
    assert str(tmp_path) not in info


def test_what_is_too_far_from_the_keras_model_is_not_left(run, photographs, written, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(verified_export, "load_exported_model", lambda path: Exported())
    target = tmp_path / "exports" / "model"
    assert _export(workdir="w", export_dir=target, check_images=photographs) == 2
    error = capsys.readouterr().err
    assert error.startswith("export: The exported model disagrees too much with the Keras model")
    assert "of 4,480 differ" in error  # 2 x 40 x 56
    assert "--min_agreement is 1;" in error
    assert written["warmup_size"] == (40, 56)
    assert not target.parent.exists()


def test_scales_may_be_given_by_their_name_in_deeplab(run, written, tmp_path, capsys):
    flags = {"inference_scales": "0.5,1", "check": False}
    assert _export(workdir="w", export_dir=tmp_path / "model", **flags) == 0
    assert "not compared with the Keras model (--nocheck)" in capsys.readouterr().out
    assert written["info"].inference["eval_scales"] == [0.5, 1.0]


def test_int8_gets_images_of_the_run_at_the_size_that_fits_all(run, tmp_path, monkeypatch):
    seen = {}

    def export_tflite(predictor, path, info, kind, size, calibration):
        seen.update(info=info, kind=kind, size=size, images=list(calibration))
        pathlib.Path(path).write_text("file")

    monkeypatch.setattr(verified_export, "export_tflite", export_tflite)
    flags = {"tflite_type": "int8", "num_calibration_images": 2, "check": False}
    assert _export(workdir="w", export_tflite=tmp_path / "m.tflite", **flags) == 0
    assert (seen["kind"], seen["size"], len(seen["images"])) == ("int8", (65, 81), 2)
    assert seen["info"].export == {"format": "TFLite", "tflite_type": "int8", "export_size": [65, 81]}
    assert (tmp_path / "m.tflite").exists()


def test_images_are_scaled_to_a_fixed_size(run, photographs, written, tmp_path, monkeypatch):
    exported = Exported()
    monkeypatch.setattr(verified_export, "load_exported_model", lambda path: exported)
    flags = {"export_size": "33,49", "min_agreement": 0, "check_images": photographs}
    assert _export(workdir="w", export_onnx=tmp_path / "m.onnx", **flags) == 0
    assert exported.shapes == [(1, 33, 49, 3)] * 2
    assert written["size"] == (33, 49)
    assert (tmp_path / "m.onnx").exists()


def test_what_is_whole_of_several_exports_is_kept_and_the_rest_is_made(run, tmp_path, capsys, monkeypatch):
    def export_saved_model(predictor, path, info, options, warmup_size):
        path.mkdir()
        (path / "saved_model.pb").write_text("graph")
        seal_saved_model(path, info)

    def fail(*arguments):
        raise UserError("The disk is full.")

    monkeypatch.setattr(verified_export, "export_saved_model", export_saved_model)
    monkeypatch.setattr(verified_export, "load_exported_model", lambda path: Exported())

    flags = {"export_dir": tmp_path / "runs[v2]" / "1", "export_checkpoint": tmp_path / "runs[v2]" / "model.ckpt"}
    with monkeypatch.context() as context:
        context.setattr(command, "write_tf1_checkpoint", fail)
        assert _export(workdir="w", check=False, **flags) == 2
    before = (flags["export_dir"] / "saved_model.pb").stat()
    capsys.readouterr()
    assert _export(workdir="w", num_check_images=1, min_agreement=0, **flags) == 0
    shown = capsys.readouterr().out
    assert (
        f"Kept: {flags['export_dir']}, which is complete and belongs to this network\n  as the Keras model: " in shown
    )
    assert f"Written: {flags['export_checkpoint']}.index" in shown
    assert (flags["export_dir"] / "saved_model.pb").stat() == before
    assert _export(workdir="w", check=False, **flags) == 0
    shown = capsys.readouterr().out
    assert shown.count("Kept: ") == 2
    assert f"{flags['export_checkpoint']}, which holds these weights already" in shown
    assert _export(workdir="w", check=False, **flags, add_flipped_images=True) == 2
    assert "what is there was exported of another network or with other flags" in capsys.readouterr().err
    with open(flags["export_dir"] / "saved_model.pb", "ab") as stream:
        stream.write(b"0")
    assert _export(workdir="w", check=False, **flags) == 2
    error = capsys.readouterr().err
    assert f"--export_dir={flags['export_dir']} exists; give a new directory" in error
    assert "saved_model.pb is not the file that was exported" in error


def test_checkpoint_of_other_weights_is_not_kept(run, tmp_path, capsys, write_tf1_checkpoint):
    write_tf1_checkpoint(tmp_path / "model.ckpt", {"logits/semantic/weights": np.zeros(3, "float32")})
    assert _export(workdir="w", export_checkpoint=tmp_path / "model.ckpt") == 2
    assert "model.ckpt exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "missing"), [({}, "--check_images=FOLDER"), ({"check": False}, "--export_size=HEIGHT,WIDTH")]
)
def test_a_published_checkpoint_comes_without_images(published, tmp_path, capsys, flags, missing):
    targets = {"export_dir": tmp_path / "model", "export_tflite": tmp_path / "model.tflite"}
    assert _export(checkpoint_path="c", **targets, **flags) == 2
    assert f"comes without images; give {missing}" in capsys.readouterr().err
    assert not list(tmp_path.glob("model*"))


def test_a_data_set_that_moved_is_named(run, tmp_path, capsys):
    (run.workdir / "config.json").write_text(json.dumps({"data": {"data_dir": str(tmp_path / "gone")}}))
    assert _export(workdir="w", export_dir=tmp_path / "model") == 2
    error = capsys.readouterr().err
    assert "The run's data set is not where it was" in error
    assert "gone" in error
    assert "--nocheck" in error


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"export_dir": "{tmp}/photographs"}, "photographs exists; give a new directory"),
        (
            {"export_dir": "{tmp}/taken.onnx"},
            "taken.onnx is a file that exists, and must be a folder; give",
        ),
        ({"export_onnx": "{tmp}/photographs"}, "photographs is a folder that exists, and must be a file"),
        ({"export_tflite": "{tmp}/photographs"}, "photographs is a folder that exists, and must be a file"),
        (
            {"export_onnx": "{tmp}/taken.onnx"},
            "taken.onnx is not a complete file of deeplab-dpc export: it does not",
        ),
        ({"export_onnx": "{tmp}/taken.onnx"}, "taken.onnx exists; give a new file"),
        ({"export_tflite": "{tmp}/m.lite"}, "m.lite must end with .tflite"),
        ({"export_dir": "{tmp}/m", "check_images": "{tmp}/run"}, "run holds no .jpg, .jpeg"),
        ({"export_dir": "{tmp}/m", "check_images": "{tmp}/nowhere"}, "nowhere is not a folder"),
        ({"export_dir": "{tmp}/m", "num_check_images": 0}, "--num_check_images must be at least 1, got 0"),
        ({"export_dir": "{tmp}/m", "min_agreement": 97}, "--min_agreement must be in [0, 1], got 97"),
        ({"export_dir": "{tmp}/m", "sliding_window": "65,65"}, "--sliding_window is not part of an exported model"),
        ({"export_onnx": "{tmp}/m.onnx", "tflite_type": "int8"}, "--tflite_type is of a TensorFlow Lite file"),
        ({"export_onnx": "{tmp}/m.onnx", "max_side": 9}, "apply only to a SavedModel; give --export_dir"),
        ({"export_dir": "{tmp}/m", "check_images": "{tmp}/photographs", "eval_crop_size": "49,49"}, "than --eval_crop"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(run, photographs, tmp_path, capsys, flags, message):
    (tmp_path / "taken.onnx").write_text("somebody's")
    before = sorted(tmp_path.rglob("*"))
    assert _export(workdir="w", **{name: str(value).format(tmp=tmp_path) for name, value in flags.items()}) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
