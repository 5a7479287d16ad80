"""describe, and train --dry_run, which prints the same."""

import json

import pytest

from deeplab_dpc.arch.drawing import draw_cell
from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.cli.main import execute, parse
from deeplab_dpc.cli.train import _steps_of_epochs, _untrained_taps
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.run_config import open_run

SMALL = ["--model_variant=mobilenet_v2", "--depth_multiplier=0.1"]


def test_json_names_parts_and_counts(capsys):
    argv = [*SMALL, "--num_classes=3", "--input_size=65,97", "--decoder_output_stride=8,4", "--json"]
    assert execute("describe", argv) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["input_size"] == [65, 97]
    assert [part["name"] for part in described["parts"]] == ["MobilenetV2", "aspp", "decoder", "logits"]
    assert described["parts"][-1]["output_shape"] == [17, 25, 3]
    assert described["trainable_parameters"] == sum(part["trainable_parameters"] for part in described["parts"])
    assert described["config"]["decoder_output_stride"] == [8, 4]


def test_table_ends_with_the_total(capsys):
    assert execute("describe", [*SMALL, "--num_classes=3"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert "513 x 513, 3 classes" in lines[0]
    assert lines[-1].split()[:6] == ["total", "33", "x", "33", "x", "3"]


def test_drawing_is_that_of_the_cell(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    draw_cell(load_cell("dpc_top1"), "expected.png")
    argv = [*SMALL, "--dense_prediction_cell_json=dpc_top1", "--input_size=65,65", "--drawing=cell.png"]
    assert execute("describe", argv) == 0
    assert (tmp_path / "cell.png").read_bytes() == (tmp_path / "expected.png").read_bytes()
    assert execute("describe", [*SMALL, "--drawing=none.png"]) == 2
    assert "the network has no cell; give --dense_prediction_cell_json" in capsys.readouterr().err
    assert not (tmp_path / "none.png").exists()


@pytest.mark.long
def test_training_dry_run_describes_the_network_for_the_data_and_writes_nothing(shapes, tmp_path, capsys):
    argv = [*SMALL, f"--data_dir={shapes.path}", f"--workdir={tmp_path / 'run'}", "--dry_run", "--json"]
    assert execute("train", argv) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["input_size"] == [65, 81]
    assert described["config"]["num_classes"] == shapes.info.num_classes
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("epochs", "batch", "steps"), [(2, 4, 6), (0.5, 4, 2), (2.5, 12, 3)])
def test_epochs_are_steps_over_the_training_split(epochs, batch, steps, shapes, tmp_path):
    """12 images of train."""
    argv = [f"--data_dir={shapes.path}", f"--training_number_of_epochs={epochs}", f"--train_batch_size={batch}"]
    values = parse("train", argv)
    assert shapes.info.splits["train"] == 12
    assert _steps_of_epochs(values, shapes, "train") == {"training_number_of_steps": steps}


def test_epochs_and_steps_are_not_given_together(shapes, capsys):
    argv = [*SMALL, f"--data_dir={shapes.path}", "--dry_run", "--training_number_of_epochs=2"]
    assert execute("train", [*argv, "--training_number_of_steps=7"]) == 2
    message = "--training_number_of_epochs=2 and --training_number_of_steps=7 both say how long the training is"
    assert message in capsys.readouterr().err
    assert execute("train", [*argv[:-1], "--training_number_of_epochs=0"]) == 2
    assert "--training_number_of_epochs must be a number greater than 0, got 0." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "crop", "rates", "instead"),
    [
        ({"atrous_rates": (6, 12, 18)}, (257, 257), "rate 18 see", "--atrous_rates=5,10,15"),
        ({"atrous_rates": (6, 12, 18)}, (321, 321), None, None),
        ({"atrous_rates": (12, 24, 36), "output_stride": 8}, (257, 257), "rate 36 see", "--atrous_rates=10,20,30"),
        ({"atrous_rates": (6, 12, 18)}, (257, 481), "rate 18 see", "--atrous_rates=5,10,15"),
        ({"dense_prediction_cell": load_cell("dpc_top1")}, (321, 321), "rate 21 see", "a cell of smaller rates"),
        ({"dense_prediction_cell": load_cell("dpc_top1")}, (321, 481), None, None),  # 21 along the width, of 31 cells
        ({"atrous_rates": (6, 12, 18)}, (369, 481), None, None),
    ],
)
def test_rates_that_crops_cannot_train_are_named(changes, crop, rates, instead):
    """The images have 360 x 480 pixels, as those of CamVid."""
    said = _untrained_taps(ModelConfig(num_classes=3, **changes), crop, (360, 480))
    assert (rates in said and instead in said) if rates else said == ""


def test_options_that_a_backbone_lacks_are_named(capsys):
    assert execute("describe", ["--model_variant=xception_65", "--depth_multiplier=0.5"]) == 2
    assert "--depth_multiplier=0.5 has no meaning for --model_variant=xception_65" in capsys.readouterr().err


def test_dry_run_without_data_names_the_command_that_needs_none(capsys):
    assert execute("train", ["--dry_run"]) == 2
    assert "deeplab-dpc describe prints a network without data" in capsys.readouterr().err


def test_a_run_keeps_its_flags_but_for_rates_and_stride(tmp_path, capsys):
    open_run(tmp_path / "run", {"model": ModelConfig(num_classes=3, depth_multiplier=0.1, atrous_rates=(1, 2))})
    assert execute("describe", [f"--workdir={tmp_path / 'run'}", "--atrous_rates=3,5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"]["atrous_rates"] == [3, 5]
    assert execute("describe", [f"--workdir={tmp_path / 'run'}", "--decoder_output_stride=4"]) == 2
    assert "--decoder_output_stride cannot be given with --workdir; a run has" in capsys.readouterr().err
