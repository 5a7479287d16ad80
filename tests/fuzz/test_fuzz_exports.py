"""Damaged exports: each gives the intact one's predictions, or one sentence before a runtime reads it."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from mutations import mutated_bytes

from deeplab_dpc.export.exported_model import load_exported_model
from deeplab_dpc.export.model_info import ModelInfo
from deeplab_dpc.export.onnx import METADATA_KEY, with_digest
from deeplab_dpc.export.saved_model import seal_saved_model
from deeplab_dpc.export.tflite import with_info

PALETTE = ((0, 0, 0), (9, 9, 9), (99, 99, 99))
INFO = ModelInfo(tuple("abc"), PALETTE, 255, "run", {}, {}, "0" * 64, {}, None, "0.1.0", "2024-01-01T00:00:00+00:00")
IMAGES = np.arange(60, dtype=np.uint8).reshape(1, 4, 5, 3)
SPEC = tf.TensorSpec([1, 4, 5, 3], tf.uint8, name="image")


@tf.function(input_signature=[SPEC])
def _red_by_thirty(image):
    return {"semantic": tf.cast(image[..., 0], tf.int32) // 30}


def _saved_model(folder):
    names = ("serving_default", "probabilities")
    tf.saved_model.save(tf.Module(), str(folder), signatures=dict.fromkeys(names, _red_by_thirty))
    seal_saved_model(folder, INFO)
    return folder


def _tflite(folder):
    converter = tf.lite.TFLiteConverter.from_concrete_functions([_red_by_thirty.get_concrete_function()], tf.Module())
    path = folder.with_suffix(".tflite")
    path.write_bytes(with_info(converter.convert(), INFO))
    return path


def _onnx(folder):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    nodes = [
        onnx.helper.make_node("Cast", ["image"], ["numbers"], to=onnx.TensorProto.INT32),
        onnx.helper.make_node("Gather", ["numbers", "zero"], ["red"], axis=3),
        onnx.helper.make_node("Div", ["red", "thirty"], ["semantic"]),
    ]
    inputs = [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["n", 4, 5, 3])]
    outputs = [onnx.helper.make_tensor_value_info("semantic", onnx.TensorProto.INT32, ["n", 4, 5])]
    constants = [
        onnx.helper.make_tensor("zero", onnx.TensorProto.INT64, [], [0]),
        onnx.helper.make_tensor("thirty", onnx.TensorProto.INT32, [], [30]),
    ]
    graph = onnx.helper.make_graph(nodes, "red by thirty", inputs, outputs, constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(INFO.to_json())})
    path = folder.with_suffix(".onnx")
    path.write_bytes(with_digest(model.SerializeToString()))
    return path


@pytest.mark.parametrize("write", [_saved_model, _tflite, _onnx], ids=["SavedModel", "TFLite", "ONNX"])
def test_damaged_export_predicts_the_same_or_is_refused(write, fuzz, tmp_path, request):
    intact = write(tmp_path / "intact")
    expected = IMAGES[..., 0].astype("int32") // 30
    files = sorted(file for file in intact.rglob("*") if file.is_file()) if intact.is_dir() else [intact]

    def one(rng):
        victim = files[int(rng.integers(len(files)))]
        content = victim.read_bytes()
        damaged = tmp_path / f"damaged{intact.suffix}"
        if intact.is_dir():
            shutil.copytree(intact, damaged, dirs_exist_ok=True)
            victim = damaged / victim.relative_to(intact)
        else:
            victim = damaged
        victim.write_bytes(mutated_bytes(rng, content))
        model = load_exported_model(damaged)
        np.testing.assert_array_equal(model.predict_batch(IMAGES), expected)
        assert (model.class_names, model.palette) == (INFO.class_names, INFO.palette)
        return "same"

    tally = fuzz(f"exports, {request.node.callspec.id}", one)
    assert tally["refused"] > 0.9 * tally.total()


def test_exports_that_are_damaged_here_predict(tmp_path):
    """The intact ones do: else all damage would be found for another reason."""
    for write in (_saved_model, _tflite, _onnx):
        model = load_exported_model(write(tmp_path / "intact"))
        np.testing.assert_array_equal(model.predict_batch(IMAGES), IMAGES[..., 0].astype("int32") // 30)
