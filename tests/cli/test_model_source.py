"""The network of a command: the requested checkpoint of a run."""

import dataclasses

import numpy as np
import pytest

from deeplab_dpc.api import loaded as api_loaded
from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.checkpoint.found_network import FoundNetwork
from deeplab_dpc.checkpoint.names import named_variables
from deeplab_dpc.checkpoint.run import save_checkpoint
from deeplab_dpc.checkpoint.run_best import save_best
from deeplab_dpc.checkpoint.run_state import Progress
from deeplab_dpc.cli.main import parse
from deeplab_dpc.cli.model_source import load_model
from deeplab_dpc.config import ModelConfig, TrainConfig
from deeplab_dpc.data.dataset_info import DatasetInfo
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import write_json
from deeplab_dpc.models.segmenter import build_segmenter
from deeplab_dpc.run_config import open_run
from deeplab_dpc.training.optimizers import MomentumSGD

CONFIG = ModelConfig(num_classes=2, depth_multiplier=0.1, dense_prediction_cell=load_cell("conv1x1"))
INFO = DatasetInfo("drawn", ("a", "b"), ((0, 0, 0), (9, 9, 9)), 255, {"train": 1}, {"train": (9, 9)})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run directory with checkpoints of steps 4 and 6 and the best of step 5; its logits' biases are the step."""
    workdir = tmp_path_factory.mktemp("run")
    network = build_segmenter(CONFIG)
    optimizer = MomentumSGD(0.1)
    optimizer.build(network.trainable_variables)
    open_run(workdir, {"model": CONFIG, "train": TrainConfig()})
    write_json(workdir / "dataset.json", INFO.to_json())
    for step in (4, 5, 6):
        named_variables(network)["logits/semantic/biases"].assign(np.full(2, step, "float32"))
        if step == 5:
            save_best(workdir, network, step, {"miou": 0.5})
        else:
            save_checkpoint(workdir, network, optimizer, Progress(step))
    return workdir


def _load(*argv):
    return load_model(parse("eval", argv).predictor.source)


@pytest.mark.parametrize(
    ("argv", "step", "words"),
    [
        ([], 6, "step 6"),
        (["--run_checkpoint=best"], 5, "step 5 (best)"),
        (["--run_checkpoint=4"], 4, "step 4"),
    ],
)
def test_checkpoint_of_a_run_is_chosen(argv, step, words, run):
    loaded = _load(f"--workdir={run}", *argv)
    assert (loaded.step, loaded.source) == (step, f"{run}, {words}")
    assert loaded.portable_source == f"{run.name}, {words}"
    biases = np.asarray(named_variables(loaded.segmenter)["logits/semantic/biases"])
    np.testing.assert_array_equal(biases, [step, step])


def test_checkpoint_that_the_run_does_not_hold_is_refused(run):
    with pytest.raises(UserError, match="--run_checkpoint=9; it holds steps 4 and 6, and the best of step 5"):
        _load(f"--workdir={run}", "--run_checkpoint=9")


def test_run_checkpoint_needs_a_run():
    with pytest.raises(UserError, match="--run_checkpoint is for --workdir; --checkpoint_path names one checkpoint"):
        _load("--checkpoint_path=model.ckpt", "--run_checkpoint=best")


@pytest.mark.parametrize(
    ("count", "dataset", "name", "color"),
    [
        (21, "PASCAL VOC 2012", "person", (192, 128, 128)),
        (19, "Cityscapes", "train", (0, 80, 100)),
        (151, "ADE20K", "bed", (64, 0, 0)),
        (20, None, "class_15", (192, 128, 128)),
    ],
)
def test_classes_of_a_published_checkpoint_are_known_by_their_number(
    count, dataset, name, color, monkeypatch, capsys, tmp_path
):
    found = FoundNetwork("model.ckpt", {"model_variant": "mobilenet_v2"}, {})
    monkeypatch.setattr(api_loaded, "find_network", lambda *arguments: found)
    monkeypatch.setattr(api_loaded, "build_segmenter", lambda config: None)
    monkeypatch.setattr(api_loaded, "restore_model", lambda *arguments: "restored")
    argv = [f"--checkpoint_path={tmp_path}/model.ckpt", f"--num_classes={count}"]
    loaded = _load(*argv)
    place = {"Cityscapes": 16, "ADE20K": 8}.get(dataset, 15)
    assert (loaded.class_names[place], loaded.palette[place], len(loaded.palette)) == (name, color, count)
    assert loaded.portable_source == f"{tmp_path.name}/model.ckpt"
    said = f"The {count} classes are taken for those of {dataset}; --classes names others." in capsys.readouterr().out
    assert said == (dataset is not None)
    own = _load(*argv, "--classes=" + ",".join(f"own{i}" for i in range(count)))
    assert own.class_names[place] == f"own{place}"
    assert "taken for" not in capsys.readouterr().out


def test_output_stride_of_a_run_may_be_another_in_evaluation(run):
    assert _load(f"--workdir={run}").segmenter.config == CONFIG
    loaded = _load(f"--workdir={run}", "--output_stride=8")
    assert loaded.segmenter.config == dataclasses.replace(CONFIG, output_stride=8)
    assert loaded.segmenter.features(np.zeros((1, 65, 65, 3), "float32")).shape[1:3] == (9, 9)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--depth_multiplier=0.5", "--depth_multiplier cannot be given with --workdir"),
        ("--num_classes=3", "--num_classes cannot be given with --workdir"),
        ("--dense_prediction_cell_json=psp", "--dense_prediction_cell_json cannot be given with --workdir"),
        ("--atrous_rates=6,12", "--atrous_rates must be 0 rates, as many as the network of the run has, got 2"),
    ],
)
def test_flag_that_makes_another_network_of_a_run_is_refused(run, flag, message):
    with pytest.raises(UserError, match=message):
        _load(f"--workdir={run}", flag)
