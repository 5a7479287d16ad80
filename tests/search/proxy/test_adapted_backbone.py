"""A search on features of a backbone that was fine-tuned on the data."""

import json

import numpy as np
import pytest

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.checkpoint.restore import restore_backbone
from deeplab_dpc.cli.main import execute
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.data.pipeline import evaluation_dataset
from deeplab_dpc.models.segmenter import build_segmenter
from deeplab_dpc.search.proxy.feature_cache import open_cache


@pytest.fixture(scope="module")
def workdir(shapes, tmp_path_factory):
    """After --mode=cache, with two steps of fine-tuning."""
    root = tmp_path_factory.mktemp("adapted")
    assert execute("search", [*_flags(shapes, root), "--adapt_steps=2"]) == 0
    return root


def _flags(shapes, workdir):
    return [
        "--mode=cache",
        f"--data_dir={shapes.path.parents[1]}",
        f"--workdir={workdir}",
        "--proxy_features=adapted",
        "--depth_multiplier=0.1",
        "--rerank_batch_size=2",
        "--seed=3",
    ]


def test_features_are_those_of_the_fine_tuned_backbone(workdir, shapes):
    model = build_segmenter(ModelConfig(num_classes=7, depth_multiplier=0.1))
    report = restore_backbone(model, str(workdir / "adapted"))
    assert len(report.restored) > 200
    [path] = (workdir / "features").glob("*/")
    example = next(evaluation_dataset(shapes, "val").as_numpy_iterator())
    features = np.asarray(model.features(example["image"][None].astype("float32")))[0]
    np.testing.assert_allclose(open_cache(path).split("val").features[0], features, rtol=3e-3, atol=3e-3)


def test_fine_tuning_is_a_run_with_a_plain_head(workdir):
    config = json.loads((workdir / "adapted" / "config.json").read_text())
    assert config["model"]["dense_prediction_cell"] == load_cell("conv1x1").to_json()
    assert config["train"]["training_number_of_steps"] == 2
    assert (config["train"]["train_batch_size"], config["train"]["seed"]) == (2, 3)


def test_started_again_nothing_is_trained_and_the_features_are_found(workdir, shapes):
    def kept():
        weights = sorted((workdir / "adapted" / "checkpoints").glob("*/weights.npz"))
        return [path.stat().st_mtime_ns for path in weights], sorted((workdir / "features").iterdir())

    before = kept()
    assert execute("search", [*_flags(shapes, workdir), "--adapt_steps=2"]) == 0
    assert kept() == before


def test_features_that_are_given_cannot_be_adapted(workdir, shapes, capsys):
    [path] = (workdir / "features").glob("*/")
    assert execute("search", [*_flags(shapes, workdir), f"--feature_cache={path}"]) == 2
    assert "--feature_cache already has features: leave out one of them." in capsys.readouterr().err
