"""fit from its beginning to index.html, killed in the middle."""

import html
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from tiny_network import GENOTYPE

from deeplab_dpc import Predictor, Segmenter
from deeplab_dpc.cli.main import execute
from deeplab_dpc.evaluation import validation
from deeplab_dpc.files import write_json

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLAGS = (
    "--workdir=R",
    "--hours=0.05",
    "--model_variant=auto_deeplab",
    "--genotype_json=tiny.json",
    "--nas_stem_output_num_conv_filters=2",
    "--aspp_convs_filters=8",
    "--decoder_filters=8",
    "--train_crop_size=33,33",
    "--train_batch_size=2",
    "--baseline_steps=4",
    "--search",
    "--warm_starts=conv1x1",
    "--num_branches=1",
    "--num_candidates=1",
    "--proxy_steps=2",
    "--rerank_top_k=1",
    "--rerank_steps=2",
    "--contest_rounds=1",
    "--contest_seeds=1",
    "--training_number_of_steps=6",
)
DEADLINE = 600  # seconds


@pytest.fixture(scope="module")
def killed(tmp_path_factory, shapes):
    """The directory of a run that was killed -9 when its baseline was done, and its flags."""
    folder = tmp_path_factory.mktemp("fit")
    write_json(folder / "tiny.json", GENOTYPE.to_json())
    flags = [*FLAGS, f"--data_dir={shapes.path}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with open(folder / "log.txt", "w") as log:
        process = subprocess.Popen(
            [sys.executable, ROOT / "fit.py", *flags], cwd=folder, env=environment, stdout=log, stderr=log
        )
    record, begun = folder / "R" / "fit.json", time.monotonic()
    while not record.exists() or "baseline" not in json.loads(record.read_text())["done"]:
        assert process.poll() is None, (folder / "log.txt").read_text()
        assert time.monotonic() - begun < DEADLINE
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return folder, flags


def test_killed_run_goes_on_and_ends_with_a_network_and_a_page(killed, monkeypatch, capsys):
    folder, flags = killed
    monkeypatch.chdir(folder)
    root = folder / "R"
    before = json.loads((root / "fit.json").read_text())
    trained = (root / "baseline" / "metrics.csv").stat().st_mtime_ns
    status = execute("fit", flags)
    captured = capsys.readouterr()
    assert status == 0, captured.err
    after = json.loads((root / "fit.json").read_text())
    assert {name: after["done"][name] for name in before["done"]} == before["done"]
    assert (root / "baseline" / "metrics.csv").stat().st_mtime_ns == trained
    assert "[4/10]" not in captured.out
    choices = json.loads((root / "plan.json").read_text())["choices"]
    # 3 feature cells a side: the rates of the baseline's ASPP, and of the finalist's.
    assert choices["atrous_rates"]["value"] == "1,2,3"
    assert choices["warm_starts"]["value"] == "aspp_1_2_3,conv1x1"
    assert choices["baseline_steps"]["given"]
    verdict = json.loads((root / "verdict.json").read_text())
    assert verdict["sentence"] in " ".join(captured.out.split())
    assert verdict["run"] in ("baseline", "final")
    assert "has seen each image of train 1.0 times" in verdict["note"] or verdict["run"] == "baseline"
    metrics = json.loads((root / verdict["run"] / "eval_val" / "metrics.json").read_text())
    assert metrics["miou"] == verdict["miou"]
    assert (root / "model" / "saved_model.pb").exists()
    assert (root / "model.tflite").exists()
    page = (root / "index.html").read_text()
    assert "mIOU" in page.partition("<h1>")[2].partition("</h1>")[0]
    assert "data:image/png;base64," in page
    assert "Finalists, trained end to end" in page
    assert "baseline_steps = 4" in page


def test_finished_run_says_its_verdict_again_and_trains_nothing(killed, monkeypatch, capsys):
    folder, flags = killed
    monkeypatch.chdir(folder)
    if not (folder / "R" / "verdict.json").exists():
        pytest.skip("the run before was not finished")
    made = (folder / "R" / "model.tflite").stat().st_mtime_ns
    assert execute("fit", flags) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert json.loads((folder / "R" / "verdict.json").read_text())["sentence"] in out
    assert (folder / "R" / "model.tflite").stat().st_mtime_ns == made


def test_commands_and_python_take_the_directory_for_the_network_that_ships(killed, monkeypatch, capsys):
    folder, flags = killed
    monkeypatch.chdir(folder)
    if not (folder / "R" / "verdict.json").exists():
        pytest.skip("the run before was not finished")
    run = folder / "R" / json.loads((folder / "R" / "verdict.json").read_text())["run"]
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(image).save(folder / "photo.png")
    assert execute("predict", ["--workdir=R", "--images=photo.png", "--output_dir=P"]) == 0
    expected = Predictor(run).predict(image).mask
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "P" / "class_ids" / "photo.png")), expected)
    np.testing.assert_array_equal(Predictor("R").predict(image).mask, expected)
    assert Segmenter.from_preset("R").config == Segmenter.from_preset(run).config
    for command in (["eval", "--workdir=R", "--eval_logdir=E"], ["describe", "--workdir=R"], ["eval", "--compare=R,E"]):
        assert execute(command[0], command[1:]) == 0
    assert execute("train", ["--fork_from=R", "--workdir=N", *(flag for flag in flags if "data_dir" in flag)]) == 2
    said = f"R is a directory of fit; give the run in it, {run.relative_to(folder)}"
    assert said in capsys.readouterr().err
    data = [flag for flag in flags if "data_dir" in flag]
    assert execute("train", ["--tf_initial_checkpoint=R", "--workdir=N", *data]) == 2
    assert said in capsys.readouterr().err


def test_command_of_the_page_trains_on(killed, monkeypatch, capsys):
    folder, _ = killed
    monkeypatch.chdir(folder)
    if not (folder / "R" / "verdict.json").exists():
        pytest.skip("the run before was not finished")
    run = json.loads((folder / "R" / "verdict.json").read_text())["run"]
    page = html.unescape((folder / "R" / "index.html").read_text())
    [line] = re.findall(r"deeplab-dpc train --fork_from=[^<]*", page)
    _, command, *argv = shlex.split(line)
    assert execute(command, [*argv, "--eval_interval_steps=0"]) == 0, capsys.readouterr().err
    before, after = (
        max(int(one.name.split("_")[-1]) for one in (folder / place).iterdir() if one.is_dir())
        for place in (f"R/{run}/checkpoints", "NEW/checkpoints")
    )
    assert after == 2 * before
    [line] = re.findall(r"deeplab-dpc fit [^<]*", page)
    assert f"--tf_initial_checkpoint=R/{run}" in line
    assert "--hours=0.1 " in line


def test_training_ends_early_if_the_patience_is_exhausted_and_the_verdict_has_its_steps(
    tmp_path, shapes, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    constant = dict.fromkeys(("miou", "pixel_accuracy", "mean_class_accuracy"), lambda sums: 0.5)
    monkeypatch.setattr(validation, "SUMMARIES", constant)  # in the evaluations of a training
    write_json(tmp_path / "tiny.json", GENOTYPE.to_json())
    without = ("--hours", "--search", "--training_number_of_steps")
    shared = [flag for flag in FLAGS if not flag.startswith(without)]
    more = ["--hours=1", "--nosearch", "--training_number_of_steps=80", "--early_stopping_patience=1"]
    assert execute("fit", [*shared, *more, f"--data_dir={shapes.path}"]) == 0
    assert "No better mIOU in 1 evaluations" in capsys.readouterr().out
    choice = json.loads((tmp_path / "R" / "plan.json").read_text())["choices"]["trained_steps"]
    assert choice["value"] < 80
    assert choice["reason"] == "the training ended before step 80"
    steps = [line.split(",")[0] for line in (tmp_path / "R" / "final" / "metrics.csv").read_text().splitlines()]
    assert int(steps[-1]) == choice["value"]
