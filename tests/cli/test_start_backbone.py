"""Trainings, searches and fit that start from a checkpoint without flags of its backbone."""

import json
import pathlib

import keras
import pytest

from deeplab_dpc.checkpoint import found_network
from deeplab_dpc.checkpoint.names import named_variables
from deeplab_dpc.cli import fit, train
from deeplab_dpc.cli.main import execute, parse
from deeplab_dpc.cli.search_job import Request
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.models.segmenter import build_segmenter
from deeplab_dpc.run_config import open_run

LINE = "The backbone is that of model.ckpt: --model_variant=mobilenet_v2 --depth_multiplier=0.1."


@pytest.fixture(autouse=True)
def start(tmp_path, monkeypatch):
    """A checkpoint model.ckpt of a narrow MobileNetV2 in an empty directory."""
    monkeypatch.chdir(tmp_path)
    with keras.StatelessScope(initialize_variables=False):
        variables = named_variables(build_segmenter(ModelConfig(7, depth_multiplier=0.1)))
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    (tmp_path / "model.ckpt.index").touch()
    monkeypatch.setattr(found_network, "variable_shapes", {"model.ckpt": shapes}.__getitem__)


@pytest.fixture
def trained(monkeypatch):
    """The networks that train would have trained."""
    networks = []
    monkeypatch.setattr(train, "train", lambda workdir, model, *more: networks.append(model))
    return networks


def _train(shapes, *flags):
    common = ["--workdir=W", f"--data_dir={shapes.path}", "--tf_initial_checkpoint=model.ckpt"]
    return execute("train", [*common, "--eval_interval_steps=0", *flags])


def test_training_has_the_backbone_and_nothing_else(shapes, trained, capsys):
    assert _train(shapes, "--decoder_output_stride=4", "--atrous_rates=1,2") == 0
    said = capsys.readouterr().out
    expected = ModelConfig(7, depth_multiplier=0.1, decoder_output_stride=(4,), atrous_rates=(1, 2))
    assert trained == [expected]
    assert said.splitlines().count(LINE) == 1
    # Begun, it goes on with the same command when the checkpoint is gone.
    open_run(pathlib.Path("W"), {"model": expected})
    found_network.variable_shapes = None
    assert _train(shapes, "--decoder_output_stride=4", "--atrous_rates=1,2") == 0
    assert trained == [expected] * 2


def test_flags_that_are_given_come_first_and_say_nothing(shapes, trained, capsys):
    assert _train(shapes, "--depth_multiplier=0.1", "--model_variant=mobilenet_v2", "--divisible_by=2") == 0
    assert trained == [ModelConfig(7, depth_multiplier=0.1, divisible_by=2)]
    assert "The backbone is that of" not in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["--model_variant=xception_65", "--depth_multiplier=0.5"])
def test_contradiction_is_one_sentence(flag, shapes, trained, tmp_path, capsys):
    assert _train(shapes, flag) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"train: {flag} contradicts --tf_initial_checkpoint=model.ckpt, whose backbone has --")
    assert len(error.splitlines()) == 1
    assert trained == []
    assert not (tmp_path / "W").exists()


def test_search_has_the_backbone(shapes, capsys):
    argv = [f"--data_dir={shapes.path}", "--workdir=S", "--tf_initial_checkpoint=model.ckpt", "--rerank_top_k=0"]
    request = Request.from_flags(parse("search", argv))
    assert request.model_config(7) == ModelConfig(7, depth_multiplier=0.1)
    assert LINE in capsys.readouterr().out.splitlines()


def test_fit_gives_the_backbone_to_all_of_its_commands(tmp_path, monkeypatch, capsys):
    planned = []

    class Work:
        def __init__(self, values, root, stages, given, classes):
            planned.append(dict(given))
            self.stages = stages

        def run(self):
            self.stages.skip("search", "nothing is done here")  # which writes the record

    monkeypatch.setattr(fit, "Fit", Work)
    argv = ["--workdir=R", "--tf_initial_checkpoint=model.ckpt", "--hours=1"]
    assert execute("fit", argv) == 0
    assert LINE in capsys.readouterr().out.splitlines()
    assert planned[0].items() >= {"model_variant": "mobilenet_v2", "depth_multiplier": 0.1}.items()
    given = json.loads((tmp_path / "R" / "fit.json").read_text())["flags"]
    assert sorted(given) == ["hours", "tf_initial_checkpoint"]  # what a restart must have too
