"""An ONNX file takes images of any size and predicts as the Keras model; without the extra there is one sentence."""

import hashlib
import json
import sys

import numpy as np
import pytest

from deeplab_dpc.config import InferenceConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.export.exported_model import load_exported_model
from deeplab_dpc.export.onnx import export_onnx, with_digest
from deeplab_dpc.export.onnx_runtime import OnnxRuntime
from deeplab_dpc.models.predictor import Predictor


@pytest.fixture(scope="module")
def exported(predictor, info, tmp_path_factory):
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(predictor, path, info)
    return path


@pytest.mark.parametrize("size", [(65, 97), (50, 71)])
def test_batches_of_two_are_predicted_as_by_keras_at_two_sizes(exported, predictor, rng, size):
    images = rng.integers(0, 256, size=(2, *size, 3)).astype("uint8")
    ids = load_exported_model(exported).predict_batch(images)
    assert (ids.shape, ids.dtype) == ((2, *size), np.int32)
    assert len(np.unique(ids)) > 1
    assert np.mean(ids == predictor.predict_batch(images)) > 0.999


def test_another_scale_of_a_fixed_size_is_resized_to_sizes_not_by_factors(network, info, rng, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    averaging = Predictor(network, InferenceConfig(eval_scales=(0.75,)))
    export_onnx(averaging, tmp_path / "model.onnx", info, (40, 71))
    runtime = OnnxRuntime(tmp_path / "model.onnx")
    assert runtime.size == (40, 71)
    images = rng.integers(0, 256, size=(1, 40, 71, 3)).astype("uint8")
    assert np.mean(runtime.class_ids(images) == averaging.predict_batch(images)) > 0.999
    resizes = [node for node in onnx.load(tmp_path / "model.onnx").graph.node if node.op_type == "Resize"]
    assert len(resizes) > 1
    assert all(list(node.input[1:3]) == ["", ""] and node.input[3] for node in resizes)


def test_facts_are_in_the_metadata(exported, info):
    import onnx

    facts, digest = onnx.load(exported).metadata_props
    assert (facts.key, json.loads(facts.value)["class_names"]) == ("deeplab_dpc", list("abcd"))
    content = exported.read_bytes()
    assert (digest.key, digest.value) == ("deeplab_dpc_sha256", hashlib.sha256(content[:-64]).hexdigest())
    assert load_exported_model(exported).source == info.source


def test_probabilities_are_refused(exported):
    with pytest.raises(UserError, match="An ONNX file predicts only class ids"):
        load_exported_model(exported).predict_probabilities(np.zeros((1, 33, 33, 3), np.uint8))


def test_damaged_file_is_one_sentence(exported, tmp_path):
    (tmp_path / "half.onnx").write_bytes(exported.read_bytes()[:20000])
    with pytest.raises(UserError, match="half.onnx is not a complete file of deeplab-dpc export"):
        load_exported_model(tmp_path / "half.onnx")


def test_file_without_facts_is_refused(exported, tmp_path):
    import onnx

    model = onnx.load(exported)
    del model.metadata_props[:]
    (tmp_path / "other.onnx").write_bytes(with_digest(model.SerializeToString()))
    with pytest.raises(UserError, match="other.onnx was not written by deeplab-dpc export: it has no `deeplab_dpc`"):
        load_exported_model(tmp_path / "other.onnx")


def test_file_that_the_runtime_does_not_know_is_one_sentence(tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "new.onnx").write_bytes(with_digest(b""))
    with pytest.raises(UserError, match=r"ONNX Runtime [0-9.]+ cannot load .*new.onnx: .*; export it again"):
        load_exported_model(tmp_path / "new.onnx")


def test_export_without_the_extra_says_how_to_install_it(predictor, info, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(UserError, match=r"needs tf2onnx and onnx; pip install .*\[onnx\]'\.$"):
        export_onnx(predictor, tmp_path / "model.onnx", info)


def test_loading_without_the_extra_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(UserError, match=r"needs onnxruntime; pip install .*\[onnx\]'\.$"):
        load_exported_model(tmp_path / "model.onnx")
