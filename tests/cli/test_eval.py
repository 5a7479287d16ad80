"""eval.py with a predictor that needs no training: what it prints and writes, waits for, compares and refuses."""

import csv
import dataclasses
import itertools
import json
import pathlib
import signal
import zipfile

import numpy as np
import pytest
from PIL import Image

from deeplab_dpc.checkpoint.run_directory import checkpoint_name, training_folder
from deeplab_dpc.checkpoint.run_state import PROGRESS, Progress, write_progress
from deeplab_dpc.cli import eval as command
from deeplab_dpc.cli import eval_repeatedly
from deeplab_dpc.cli.main import execute, parse
from deeplab_dpc.cli.model_source import LoadedPredictor
from deeplab_dpc.config import DataConfig, TrainConfig
from deeplab_dpc.data.absent_classes import read_label_counts, read_labelled_with
from deeplab_dpc.data.dataset_info import INFO_FILE
from deeplab_dpc.data.label_statistics import label_weights
from deeplab_dpc.data.run_data import bind, write_run_data
from deeplab_dpc.locks import only_process
from deeplab_dpc.run_config import open_run


class Guess:
    """Stands for a predictor: class 1 in the left part of the image, class 0 in the rest."""

    num_classes = 7

    def __init__(self, share: float):
        self.share = share

    def check_size(self, image, name):
        pass

    def predict_batch(self, images):
        ids = np.zeros(images.shape[:3], np.int32)
        ids[:, :, : int(self.share * images.shape[2])] = 1
        return ids


@pytest.fixture
def source(shapes, tmp_path, monkeypatch):
    """Makes eval.py's predictor a Guess; its share and the run's step can be set."""
    made = {"share": 0.5, "step": None, "workdir": None, "classes": None}

    def load(values):
        step, workdir = made["step"], made["workdir"]
        names, palette = shapes.info.class_names, shapes.info.palette
        if callable(step):
            step = step()
        guess = Guess(made["share"])
        guess.num_classes = made["classes"] or guess.num_classes
        return LoadedPredictor(
            predictor=guess,
            class_names=names,
            palette=palette,
            ignore_label=255,
            source="a guess",
            workdir=workdir,
            step=step,
        )

    monkeypatch.setattr(command, "load_predictor", load)
    monkeypatch.chdir(tmp_path)
    return made


def run(*argv: str, **flags: object) -> int:
    return execute("eval", [*argv, *(f"--{name}={value}" for name, value in flags.items())])


def read(folder: pathlib.Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def words(shown: str) -> list[list[str]]:
    """The words of each line of a table, without its borders."""
    lines = (line.split() for line in shown.splitlines())
    return [line for line in lines if line and "─" not in line[0]]


def test_evaluation_leaves_metrics_tables_and_pictures(source, shapes, tmp_path, capsys):
    assert run("--boundary_iou", data_dir=shapes.path, eval_logdir=tmp_path, trimap_width=3, worst_images=2) == 0
    folder = tmp_path / "eval_val"
    assert {path.name for path in folder.iterdir()} == {
        "metrics.json", "per_class.csv", "per_image.npz", "confusion.png", "worst.png",
    }  # fmt: skip
    metrics = read(folder)
    assert (metrics["source"], metrics["dataset"], metrics["split"]) == ("a guess", "shapes", "val")
    assert (metrics["num_images"], metrics["num_pixels"]) == (5, 5 * 65 * 81)
    low, high = metrics["intervals"]["miou"]
    assert low < metrics["miou"] < high
    assert metrics["intervals"]["per_class_iou"]["ring"] in ([0, 0], None)
    assert 0 < metrics["boundary_miou"] < 1
    assert 0 < metrics["trimap_miou"] < 1
    with open(folder / "per_class.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["class"] for row in rows] == list(shapes.info.class_names)
    assert float(rows[1]["iou"]) == pytest.approx(metrics["per_class_iou"]["ground"], abs=1e-6)
    assert sum(float(row["label_share"]) for row in rows) == pytest.approx(1, abs=1e-5)
    shown = capsys.readouterr().out
    assert "shapes/val, 5 images, a guess" in shown
    assert ["mIOU", f"{100 * metrics['miou']:.2f}", f"{100 * low:.2f}", "to", f"{100 * high:.2f}"] in words(shown)
    assert f"Written: {folder}" in shown
    assert run(data_dir=shapes.path, eval_logdir=tmp_path, worst_images=0) == 0
    assert not (folder / "worst.png").exists()  # it would be of the evaluation before


def test_advice_stands_below_the_tables_and_in_the_metrics(source, shapes, tmp_path, capsys, no_pictures):
    run_dir = tmp_path / "run"
    source["workdir"] = run_dir
    crop = DataConfig(data_dir=str(shapes.path), train_crop_size=(17, 17))
    open_run(run_dir, {"data": crop, "train": TrainConfig()})
    write_run_data(run_dir, bind(run_dir, shapes, ["val"]))
    (run_dir / "metrics.csv").write_text("step,loss,cross_entropy\n" + "".join(f"{i},3.0,2.5\n" for i in range(20)))
    assert run(data_dir=shapes.path) == 0
    lines = read(run_dir / "eval_val")["advice"]
    ring = next(line for line in lines if line.startswith("ring has IoU 0: it is never predicted, and "))
    assert "feature cells a side: larger images (--min_resize_value) or --output_stride=8" in ring
    # The small disk is rare.
    pixels, labelled_with = read_label_counts(shapes)["train"], read_labelled_with(shapes)["train"]
    flag = f"--label_weights={','.join(f'{one:g}' for one in label_weights(pixels, labelled_with, shapes.info))}"
    assert f"with rare classes weighed: {flag} (median frequency balancing" in lines[-2]
    parsed = parse("train", [flag]).training.make()
    assert parsed.label_weights == label_weights(pixels, labelled_with, shapes.info)
    assert "The loss did not fall: its mean was 2.500 in the first 3 rows of metrics.csv and 2.500 in" in lines[-1]
    shown = capsys.readouterr().out
    assert all(f"Advice: {line}" in shown for line in lines)


def test_data_whose_classes_are_in_another_order_is_refused_with_the_first_difference(
    source, shapes, tmp_path, capsys, no_pictures
):
    source["workdir"] = tmp_path / "run"
    write_run_data(tmp_path / "run", bind(tmp_path / "run", shapes, ["val"]))
    names = shapes.info.class_names
    info = dataclasses.replace(shapes.info, class_names=(*names[1:], names[0]))
    data = _described_as(info, shapes, tmp_path / "data")
    assert run(data_dir=data) == 2
    said = capsys.readouterr().err
    assert f"the classes are in another order: class 0 was {names[0]!r} and is {names[1]!r}; give data with" in said
    assert "--nocheck_class_names" in said
    assert not (tmp_path / "run" / "eval_val").exists()
    assert run("--nocheck_class_names", data_dir=data) == 0


def test_split_that_was_built_again_is_said(source, shapes, tmp_path, capsys, no_pictures):
    source["workdir"] = tmp_path / "run"
    bound = bind(tmp_path / "run", shapes, ["val"])
    write_run_data(tmp_path / "run", dataclasses.replace(bound, digests={"val": "0" * 64}))
    assert run(data_dir=shapes.path) == 0
    assert (
        f"The split val of {shapes.path} has other records than the one that the run has seen."
        in capsys.readouterr().out
    )


def test_evaluation_in_a_directory_of_another_process_is_refused(source, shapes, tmp_path, capsys):
    with only_process(tmp_path / "out" / "eval_val", "eval_logdir"):
        assert run(data_dir=shapes.path, eval_logdir=tmp_path / "out") == 2
    assert "eval_val is in use by process" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_classes_without_a_label_are_said_beside_the_mean(source, shapes, tmp_path, capsys, no_pictures):
    info = dataclasses.replace(shapes.info, class_names=(*shapes.info.class_names, "never"), palette=((0, 0, 0),) * 8)
    source["classes"] = 8
    assert run(data_dir=_described_as(info, shapes, tmp_path / "data"), eval_logdir=tmp_path) == 0
    metrics = read(tmp_path / "eval_val")
    occurring = metrics["classes_in_labels"]
    assert (occurring, metrics["num_classes"]) == (7, 8)
    assert "mIOU (only 7 of 8 classes occur)" in capsys.readouterr().out
    assert run(compare=f"{tmp_path},{tmp_path}") == 0
    assert "5 images; only 7 of 8 classes occur" in capsys.readouterr().out


def _described_as(info, dataset, path: pathlib.Path) -> pathlib.Path:
    """The records of a data set with other facts beside them."""
    path.mkdir()
    for shard in dataset.path.glob("*.tfrecord*"):
        (path / shard.name).symlink_to(shard)
    (path / INFO_FILE).write_text(json.dumps(info.to_json()))
    return path


def test_absent_and_ignored_classes_and_categories_are_shown(source, shapes, tmp_path, capsys):
    info = dataclasses.replace(
        shapes.info, ignore_label=0, categories=("", "a", "b", "b", "b", "c", "c"), palette=((0, 0, 0),) * 7
    )
    assert run(data_dir=_described_as(info, shapes, tmp_path / "data")) == 0
    shown = capsys.readouterr().out
    assert ["background", "ignored"] in words(shown)
    rows = [row[0] for row in words(shown)]
    assert ["category", "a", "b", "c"] in [rows[i : i + 4] for i in range(len(rows))]
    assert "Labelled pixels predicted as the ignored class background:" in shown
    assert "Nothing is written without --eval_logdir." in shown
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


@pytest.fixture
def no_pictures(monkeypatch):
    """They take longer than all else."""
    monkeypatch.setattr(command, "write_pictures", lambda *arguments: None)


def test_two_evaluations_are_compared_without_a_network(source, shapes, tmp_path, capsys, no_pictures):
    for name, source["share"] in (("a", 0.5), ("b", 0.1)):
        assert run(data_dir=shapes.path, eval_logdir=tmp_path / name) == 0
    difference = read(tmp_path / "b" / "eval_val")["miou"] - read(tmp_path / "a" / "eval_val")["miou"]
    before = set(tmp_path.rglob("*"))
    capsys.readouterr()
    assert run(compare=f"{tmp_path / 'a'},{tmp_path / 'b' / 'eval_val'}") == 0
    assert f"{100 * difference:+.2f}" in capsys.readouterr().out
    assert set(tmp_path.rglob("*")) == before
    assert run(compare=f"{tmp_path / 'a'},{tmp_path / 'b'}", eval_logdir=tmp_path / "c") == 0
    written = json.loads((tmp_path / "c" / "comparison.json").read_text())
    assert written["miou"]["difference"] == pytest.approx(difference)


@pytest.fixture
def training(source, shapes, tmp_path, monkeypatch, no_pictures):
    """A run directory of 30 steps whose checkpoints, at 10, 20 and 30, come while eval.py sleeps."""
    workdir = tmp_path / "run"
    sections = {"data": DataConfig(str(shapes.path)), "train": TrainConfig(training_number_of_steps=30)}
    workdir.mkdir()
    (workdir / "config.json").write_text(json.dumps({name: one.to_json() for name, one in sections.items()}))
    steps = itertools.chain([10, 20, 30])
    slept: list[float] = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) % 2 == 0:
            step = source["step"] = next(steps)
            folder = training_folder(workdir) / checkpoint_name(step)
            folder.mkdir(parents=True)
            write_progress(folder / PROGRESS, Progress(step, shortened=source.get("shortened")))

    monkeypatch.setattr(eval_repeatedly.time, "sleep", sleep)
    source["workdir"] = workdir
    return workdir, slept


def history(workdir):
    with open(workdir / "eval_val" / "history.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def test_checkpoints_are_evaluated_as_they_come_until_the_training_is_complete(training, capsys):
    workdir, slept = training
    assert run(workdir=workdir, max_number_of_evaluations=-1, eval_interval_secs=7) == 0
    rows = history(workdir)
    assert [row["step"] for row in rows] == ["10", "20", "30"]
    assert {row["images"] for row in rows} == {"5"}
    assert float(rows[0]["miou_low"]) < float(rows[0]["miou"]) < float(rows[0]["miou_high"])
    assert slept == [7] * 6
    assert run(workdir=workdir, max_number_of_evaluations=1) == 0
    assert [row["step"] for row in history(workdir)] == ["10", "20", "30"]  # once each, though it is evaluated again
    assert "The training is complete: step 30 is its last." in capsys.readouterr().out


def test_training_that_was_shortened_is_complete_at_its_last_step(source, training, capsys):
    workdir, _ = training
    source["shortened"] = (15, 20)
    assert run(workdir=workdir, max_number_of_evaluations=-1) == 0
    assert [row["step"] for row in history(workdir)] == ["10", "20"]
    assert "The training is complete: step 20 is its last." in capsys.readouterr().out


def test_training_that_ends_early_is_complete_at_its_last_step(source, training, shapes, monkeypatch, capsys):
    """Its second evaluation, at step 20, is no better than the first: it ends at step 24 of 1,000."""
    workdir, _ = training
    protocol = TrainConfig(training_number_of_steps=1000, early_stopping_patience=1)
    sections = {"data": DataConfig(str(shapes.path)), "train": protocol}
    (workdir / "config.json").write_text(json.dumps({name: one.to_json() for name, one in sections.items()}))
    steps, rows = iter([10, 20, 24]), []

    def sleep(seconds):
        step = source["step"] = next(steps)
        if step % 10 == 0:
            rows.append({"step": step, "miou": 0.4})
        folder = training_folder(workdir) / checkpoint_name(step)
        folder.mkdir(parents=True)
        write_progress(folder / PROGRESS, Progress(step, validations=rows))

    monkeypatch.setattr(eval_repeatedly.time, "sleep", sleep)
    assert run(workdir=workdir, max_number_of_evaluations=-1) == 0
    assert [row["step"] for row in history(workdir)] == ["10", "20", "24"]
    assert "The training is complete: step 24 is its last." in capsys.readouterr().out


def test_number_of_evaluations_ends_it(training):
    workdir, _ = training
    assert run(workdir=workdir, max_number_of_evaluations=2) == 0
    assert [row["step"] for row in history(workdir)] == ["10", "20"]


def test_sigterm_ends_the_waiting(training, monkeypatch, capsys):
    workdir, _ = training
    monkeypatch.setattr(eval_repeatedly.time, "sleep", lambda seconds: signal.raise_signal(signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    assert run(workdir=workdir, max_number_of_evaluations=0) == 128 + signal.SIGTERM
    assert "stopped by SIGTERM; what was evaluated is in" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_submission_is_written_and_nothing_else(source, shapes, tmp_path, capsys, monkeypatch):
    assert run(data_dir=shapes.path, submission=tmp_path / "s.zip") == 2
    assert "No test server is known for the data set shapes" in capsys.readouterr().err
    assert run(data_dir=shapes.path, submission=tmp_path / "s.zip", submission_server="cityscapes") == 2
    assert "has its 19 classes, but the network has 7" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(Guess, "num_classes", 19)
    names = tuple(f"class_{i}" for i in range(19))
    found = command.predictions
    monkeypatch.setattr(
        command,
        "predictions",
        lambda *of: ((f"berlin_00000{i}_000019_leftImg8bit.png", *rest) for i, (_, *rest) in enumerate(found(*of))),
    )
    info = dataclasses.replace(shapes.info, name="cityscapes", class_names=names, palette=((0, 0, 0),) * 19)
    assert run(data_dir=_described_as(info, shapes, tmp_path / "data"), submission=tmp_path / "s.zip") == 0
    assert {path.name for path in tmp_path.iterdir()} == {"data", "s.zip"}
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        assert len(archive.namelist()) == 5
        with archive.open(archive.namelist()[0]) as member:
            ids = np.asarray(Image.open(member))
    assert ids.shape == (65, 81)
    assert (ids[:, :40] == 8).all()  # class 1, sidewalk
    assert (ids[:, 40:] == 7).all()  # class 0, road


def test_place_that_cannot_be_written_is_refused_before_the_evaluation(source, shapes, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert run(data_dir=shapes.path, eval_logdir=tmp_path / "file") == 2
    captured = capsys.readouterr()
    assert (
        f"{tmp_path / 'file' / 'eval_val'} cannot be written: {tmp_path / 'file'} is not a writable directory"
        in captured.err
    )
    assert "Evaluating" not in captured.out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--compare=a"], "--compare must be RUN_A,RUN_B, two directories, got a"),
        (["--compare=a,b", "--workdir=c"], "leave out --workdir"),
        (["--compare=a,b"], "--compare: a is not a directory"),
        (["--worst_images=-1"], "--worst_images must be a number of images, or 0 for none, got -1"),
        (["--trimap_width=-1"], "--trimap_width must be a number of pixels, or 0 for none, got -1"),
        (["--boundary_dilation_ratio=0.1"], "--boundary_dilation_ratio needs --boundary_iou"),
        (["--boundary_iou", "--boundary_dilation_ratio=2"], r"must be in (0, 1), got 2.0"),
        (["--bootstrap_resamples=1"], "--bootstrap_resamples must be at least 2, got 1"),
        (["--max_number_of_evaluations=0"], "give --workdir, and no --run_checkpoint"),
        (["--max_number_of_evaluations=0", "--workdir=w", "--eval_interval_secs=0"], "must be at least 1, got 0"),
        (["--max_number_of_evaluations=0", "--workdir=w"], "--workdir=w is not a run directory"),
    ],
)
def test_mistakes_are_refused_before_anything_is_evaluated(source, argv, message, tmp_path, capsys):
    assert execute("eval", argv) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
