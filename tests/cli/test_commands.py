"""The commands as a user meets them: the whole path once, help, and mistakes."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from deeplab_dpc.cli import main as cli_main
from deeplab_dpc.cli.main import COMMANDS, execute
from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.data.pipeline import evaluation_dataset, iterate
from deeplab_dpc.evaluation.visualize import save_rgb_png

TINY = {
    "hours": 0.1,
    "baseline_steps": 2,
    "search": True,
    "num_candidates": 1,
    "proxy_steps": 2,
    "rerank_top_k": 1,
    "rerank_steps": 2,
    "warm_starts": "conv1x1",
    "contest_rounds": 1,
    "contest_seeds": 1,
    "training_number_of_steps": 3,
}


def _argv(**flags):
    return [f"--{name}={value}" for name, value in flags.items()]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The command of `make demo` at the smallest budget."""
    root = tmp_path_factory.mktemp("demo")
    assert execute("fit", _argv(workdir=root, **TINY)) == 0
    return root


def test_demo_leaves_what_the_quick_start_names(demo):
    assert {path.name for path in demo.iterdir()} >= {
        *("data", "check", "baseline", "search", "final", "comparison", "model", "model.tflite"),
        *("plan.json", "verdict.json", "index.html"),
    }
    assert (demo / "search" / "report.html").exists()
    assert (demo / "search" / "cells" / "best.png").exists()
    metrics = json.loads((demo / "final" / "eval_val" / "metrics.json").read_text())
    assert metrics["num_pixels"] == 60 * 129 * 129
    assert set(metrics["per_class_iou"]) == {
        "background", "ground", "small_disk", "large_disk", "ring", "bar", "block",
    }  # fmt: skip


def test_winner_of_the_demo_is_the_best_of_its_own_table_and_its_training_goes_on(demo):
    rows = json.loads((demo / "search" / "results.json").read_text())
    finalists = [row for row in rows if row["reranked_miou"] is not None]
    assert len(finalists) == 3
    [winner] = [row for row in rows if row["is_best"]]
    assert winner["reranked_miou"] == max(row["reranked_miou"] for row in finalists)
    assert json.loads((demo / "search" / "cells" / "best.json").read_text()) == winner["cell"]
    verdict = json.loads((demo / "search" / "verdict.json").read_text())
    assert verdict["best"]["name"] == winner["name"]
    assert json.loads((demo / "final" / "config.json").read_text())["train"]["fork_from"] == winner["contest"]["run"]


def test_demo_predicts_a_folder_of_pictures(demo, tmp_path):
    example = next(iterate(evaluation_dataset(find_dataset(demo / "data"), "val").take(1), "val"))
    save_rgb_png(tmp_path / "images" / "one.png", example["image"])
    assert execute("predict", _argv(workdir=demo / "final", images=tmp_path / "images", output_dir=tmp_path)) == 0
    assert np.asarray(Image.open(tmp_path / "class_ids" / "one.png")).shape == (129, 129)
    height, _, channels = np.asarray(Image.open(tmp_path / "overlays" / "one.png")).shape
    assert height > 129  # there is a legend below the image
    assert channels == 3


def test_search_directory_is_no_trained_run(demo, capsys):
    assert execute("eval", _argv(workdir=demo / "search")) == 2
    assert "is the directory of a search, not of a training" in capsys.readouterr().err


def test_crop_smaller_than_an_image_is_refused(demo, capsys):
    assert execute("eval", _argv(workdir=demo / "final", eval_crop_size="97,97")) == 2
    assert "129 x 129 pixels, larger than --eval_crop_size=97,97" in capsys.readouterr().err


def test_candidates_may_be_added_to_a_search_but_its_proxy_stays(demo, tmp_path, capsys):
    flags = {
        "data_dir": demo / "data",
        "workdir": tmp_path / "search",
        "tf_initial_checkpoint": demo / "baseline",
        "depth_multiplier": 0.5,
        "proxy_steps": 2,
        "num_best": 3,
        "lookahead": 1,
        "warm_starts": "conv1x1",
        "rerank_top_k": 0,
    }
    assert execute("search", _argv(**flags, num_candidates=1)) == 0
    assert execute("search", _argv(**flags, num_candidates=2)) == 0
    assert len(json.loads((tmp_path / "search" / "results.json").read_text())) == 1 + 2
    assert execute("search", _argv(**flags, num_candidates=2, proxy_loss_nodes=0)) == 2
    assert "search.proxy_loss_nodes (was 4, now 0)" in capsys.readouterr().err


def test_unreadable_image_is_named_and_exits_2(demo, tmp_path, capsys):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "broken.jpg").write_bytes(b"no image")
    assert execute("predict", _argv(workdir=demo / "final", images=tmp_path / "images", output_dir=tmp_path)) == 2
    assert "broken.jpg cannot be read as an image" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_the_flags(command, capsys):
    assert execute(command, ["--help"]) == 0
    shown = capsys.readouterr().out
    assert "--workdir" in shown or "--data_dir" in shown


@pytest.mark.parametrize(
    ("command", "argv", "message"),
    [
        ("train", [], "--workdir is required"),
        ("train", ["--workdir=w", "--no_such_flag=1"], "Unknown command line flag 'no_such_flag'"),
        ("train", ["--workdir=w", "--train_batch_size=many"], "train_batch_size"),
        ("train", ["stray"], "Unexpected argument 'stray'"),
        ("train", ["--workdir=w", "--data_dir=nowhere"], "There is no folder nowhere"),
        ("search", ["--mode=guess"], "--mode must be one of search, cache, score, fidelity, got guess."),
        ("eval", [], "Give either --workdir"),
        ("eval", ["--workdir=nowhere"], "--workdir=nowhere is not a run directory"),
        ("predict", ["--images=nowhere", "--output_dir=x"], "--images=nowhere is not a folder"),
        ("export", ["--export_dir=x", "--checkpoint_path=nowhere"], "There is no checkpoint nowhere"),
        (
            "export",
            ["--export_dir=x", "--checkpoint_path=nowhere", "--num_classes=2", "--model_variant=vgg"],
            "--model_variant=vgg is not known",
        ),
        (
            "export",
            ["--export_dir=x", "--checkpoint_path=nowhere", "--num_classes=2", "--atrous_rates=6,many"],
            "--atrous_rates must be whole numbers (1,2), got 6,many",
        ),
        ("build_folder", ["--images=i", "--labels=l", "--classes=c"], "--data_dir is required"),
    ],
)
def test_mistakes_get_one_sentence_and_exit_status_2(command, argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert execute(command, argv) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_cell_file_whose_branch_reads_a_later_one_is_refused(shapes, tmp_path, capsys):
    cell = tmp_path / "cell.json"
    cell.write_text('[{"input": -1, "op": "conv", "kernel": 1}, {"input": 2, "op": "conv", "kernel": 1}]')
    flags = {"workdir": tmp_path / "run", "data_dir": shapes.path, "dense_prediction_cell_json": cell}
    assert execute("train", _argv(**flags)) == 2
    assert "branch 1" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_workdir_that_cannot_be_made_is_named(shapes, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert execute("train", _argv(workdir=tmp_path / "file" / "run", data_dir=shapes.path)) == 2
    assert "must be a folder, and" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words"),
    [("build_folder", "nothing was kept, and the same command starts again"), ("train", "the same command continues")],
)
def test_interrupt_says_what_the_same_command_does(command, words, capsys, monkeypatch):
    def interrupted(command, argv):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_main, "_run", interrupted)
    assert execute(command, []) == 130
    assert capsys.readouterr().err == f"\n{command}: stopped; {words}.\n"


def test_installed_program_lists_its_commands():
    program = [sys.executable, "-m", "deeplab_dpc.cli.main"]
    shown = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (shown.returncode, "build-folder" in shown.stdout) == (2, True)
    wrong = subprocess.run([*program, "segment"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "'segment' is not a command" in wrong.stderr
