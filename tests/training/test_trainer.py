"""Training runs: what they leave, that they continue exactly, and what they refuse."""

import csv
import dataclasses
import json
import os
import shutil
import signal

import numpy as np
import pytest
from tiny_network import tiny_network

from deeplab_dpc.arch.library import load_cell, load_genotype
from deeplab_dpc.checkpoint.run import read_weights
from deeplab_dpc.checkpoint.run_directory import best_checkpoint, latest_checkpoint, list_checkpoints
from deeplab_dpc.config import AutoDeepLabConfig, DataConfig, ModelConfig, SearchConfig, TrainConfig
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.known_classes import VOC_CLASS_NAMES
from deeplab_dpc.errors import Stopped, UserError
from deeplab_dpc.evaluation.validation import Validation
from deeplab_dpc.locks import only_process
from deeplab_dpc.training import initialization, recorder, trainer
from deeplab_dpc.training.hooks import Hooks
from deeplab_dpc.training.training_model import build_training_model

# Runs of the module have their curves; those of a single test have not.
pytestmark = pytest.mark.usefixtures("no_curves")
CONFIG = TrainConfig(
    training_number_of_steps=4, train_batch_size=2, save_interval_steps=2, log_steps=1, eval_interval_steps=1, seed=3
)
DATA = DataConfig(data_dir="", train_crop_size=(33, 33))
MODEL = tiny_network(num_classes=7)
SCORES = {1: 0.1, 2: 0.4, 3: 0.2, 4: 0.3}


class _FixedScores:
    """Stands for an evaluation: says SCORES, and does something at a step."""

    def __init__(self, at=None, do=None):
        self.calls, self.at, self.do = 0, at, do

    def __call__(self, arrays):
        self.calls += 1
        if self.calls == self.at:
            self.do()
        return Validation({"miou": SCORES.get(self.calls, 0.0)}, {}, np.zeros((1, 4, 4, 3), "uint8"))


class _Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def _die():
    raise _Killed


def _train(workdir, dataset, config=CONFIG, validator=None):
    return trainer.train(workdir, MODEL, DATA, config, dataset, Hooks(validator))


def _untraced(*arguments):
    """A model whose step runs eagerly: for so few steps as here its tracing takes longer than all else."""
    model = build_training_model(*arguments)
    model.run_eagerly = True
    return model


@pytest.fixture
def eager(monkeypatch):
    """Trainings of the test run eagerly."""
    monkeypatch.setattr(trainer, "build_training_model", _untraced)


def _rows(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def _final_arrays(workdir):
    """Every array of the last checkpoint: weights, optimizer, random states."""
    folder = latest_checkpoint(workdir).path
    return {
        f"{file.name}/{name}": array for file in sorted(folder.glob("*.npz")) for name, array in np.load(file).items()
    }


def _assert_equal_runs(ours, theirs):
    ours, theirs = _final_arrays(ours), _final_arrays(theirs)
    assert ours.keys() == theirs.keys()
    assert len(ours) == 134  # all that there is
    assert any("random" in name for name in ours)
    assert any("accumulator" in name for name in ours)
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


@pytest.fixture(scope="module")
def finished(shapes, tmp_path_factory):
    """A run of four steps without interruption, with its curves."""
    workdir = tmp_path_factory.mktemp("finished")
    _train(workdir, shapes, validator=_FixedScores())
    return workdir


@pytest.fixture(scope="module")
def finished_eagerly(shapes, tmp_path_factory):
    """Returns a finished run whose training was eager, which may differ in the last digit."""
    workdir = tmp_path_factory.mktemp("finished_eagerly")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "build_training_model", _untraced)
        _train(workdir, shapes, validator=_FixedScores())
    return workdir


def test_run_directory_of_an_auto_deeplab_holds_the_genotype_also_if_it_is_the_published_one(shapes, tmp_path):
    model = ModelConfig(num_classes=7, model_variant="auto_deeplab_s", output_stride=8)
    trainer._open(tmp_path / "run", model, DATA, CONFIG, shapes)
    assert load_genotype(tmp_path / "run" / "genotype.json") == load_genotype("auto_deeplab")
    assert not (tmp_path / "run" / "cell.json").exists()


def test_run_directory_describes_itself(finished, shapes):
    config = json.loads((finished / "config.json").read_text())
    assert ModelConfig.from_json(config["model"]) == MODEL
    assert TrainConfig.from_json(config["train"]) == CONFIG
    assert json.loads((finished / "cell.json").read_text()) == load_cell("conv1x1").to_json()
    assert [checkpoint.step for checkpoint in list_checkpoints(finished)] == [2, 4]
    rows = _rows(finished / "metrics.csv")
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    images = shapes.info.splits["train"]
    assert [float(row["epoch"]) for row in rows] == pytest.approx(
        [2 * step / images for step in (1, 2, 3, 4)], abs=1e-3
    )
    for row in rows:
        assert float(row["loss"]) == pytest.approx(float(row["cross_entropy"]) + float(row["weight_decay"]), rel=1e-5)
        assert float(row["gradient_norm"]) > 0
        assert float(row["images_per_second"]) > 0
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates == pytest.approx([0.01 * (1 - step / 4) ** 0.9 for step in (1, 2, 3, 4)])
    assert (finished / "curves.png").read_bytes()[1:4] == b"PNG"


def test_best_of_the_evaluated_steps_is_kept(finished):
    rows = _rows(finished / "validation.csv")
    assert [float(row["miou"]) for row in rows] == list(SCORES.values())
    best = best_checkpoint(finished)
    assert best.step == 2
    step_2 = read_weights(list_checkpoints(finished)[0])
    for name, array in read_weights(best).items():
        np.testing.assert_array_equal(array, step_2[name])
    assert (finished / "predictions.png").exists()


def test_killed_run_ends_as_an_uninterrupted_one(finished, shapes, tmp_path):
    """Killed before the first checkpoint, and again between two, with an evaluation unfinished."""
    with pytest.raises(_Killed):
        _train(tmp_path, shapes, validator=_FixedScores(at=1, do=_die))
    assert list_checkpoints(tmp_path) == []
    with pytest.raises(_Killed):
        _train(tmp_path, shapes, validator=_FixedScores(at=3, do=_die))
    assert latest_checkpoint(tmp_path).step == 2
    _train(tmp_path, shapes)
    _assert_equal_runs(tmp_path, finished)
    ours, theirs = ([row["loss"] for row in _rows(run / "metrics.csv")] for run in (tmp_path, finished))
    assert ours == theirs


def test_kill_while_a_checkpoint_is_written_leaves_the_one_before(shapes, tmp_path, monkeypatch, eager):
    save = recorder.save_checkpoint

    def die_at_the_second(workdir, network, optimizer, progress):
        if progress.step == 4:
            half = workdir / "checkpoints" / ".step_00000004.x.tmp"
            half.mkdir()
            (half / "weights.npz").write_bytes(b"half")
            raise _Killed
        save(workdir, network, optimizer, progress)

    with monkeypatch.context() as patch:
        patch.setattr(recorder, "save_checkpoint", die_at_the_second)
        with pytest.raises(_Killed):
            _train(tmp_path, shapes)
    assert latest_checkpoint(tmp_path).step == 2
    _train(tmp_path, shapes)
    assert list((tmp_path / "checkpoints").glob(".*")) == []
    assert latest_checkpoint(tmp_path).step == 4


def test_tables_that_a_kill_left_without_their_last_rows_are_completed(finished_eagerly, shapes, tmp_path, eager):
    run = shutil.copytree(finished_eagerly, tmp_path / "run")
    names = ("metrics.csv", "validation.csv", "curves.png")
    whole = {name: (run / name).read_bytes() for name in names}
    before = (run / "metrics.csv").stat().st_mtime_ns
    _train(run, shapes)
    assert (run / "metrics.csv").stat().st_mtime_ns == before
    (run / "metrics.csv").write_bytes(whole["metrics.csv"].rpartition(b"\n")[0].rpartition(b"\n")[0] + b"\n")
    (run / "curves.png").unlink()
    _train(run, shapes)
    assert {name: (run / name).read_bytes() for name in names[:2]} == {name: whole[name] for name in names[:2]}
    assert (run / "curves.png").exists()


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_seeds_that_libraries_refuse_are_a_sentence(seed):
    for config in (CONFIG, SearchConfig(), AutoDeepLabConfig()):
        with pytest.raises(UserError, match="--seed must be from 0 to 2,147,483,647, got"):
            dataclasses.replace(config, seed=seed)


def test_signal_during_the_last_evaluation_stops_what_would_follow(shapes, tmp_path, eager):
    terminate = _FixedScores(at=4, do=lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Stopped, match="stopped by SIGTERM; step 4 is saved"):
        _train(tmp_path, shapes, CONFIG, terminate)
    assert latest_checkpoint(tmp_path).step == CONFIG.training_number_of_steps


def test_signal_saves_the_step_first(finished_eagerly, shapes, tmp_path, eager):
    before = signal.getsignal(signal.SIGTERM)
    terminate = _FixedScores(at=2, do=lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Stopped, match="stopped by SIGTERM; step 3 is saved, and the same command continues") as stopped:
        _train(tmp_path, shapes, dataclasses.replace(CONFIG, save_interval_steps=100), terminate)
    assert stopped.value.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before
    # Noted during the evaluation after step 2, and heeded when the next step is done.
    assert latest_checkpoint(tmp_path).step == 3
    _train(tmp_path, shapes, dataclasses.replace(CONFIG, save_interval_steps=100))
    _assert_equal_runs(tmp_path, finished_eagerly)


def test_torn_checkpoint_is_set_aside_and_the_one_before_used(finished_eagerly, shapes, tmp_path, eager, capsys):
    shutil.copytree(finished_eagerly, tmp_path / "run")
    weights = latest_checkpoint(tmp_path / "run").path / "weights.npz"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 255
    weights.write_bytes(data)
    _train(tmp_path / "run", shapes)
    said = capsys.readouterr().out
    assert "step_00000004" in said
    assert "step 2" in said
    assert (tmp_path / "run" / "checkpoints" / "damaged_step_00000004").is_dir()
    _assert_equal_runs(tmp_path / "run", finished_eagerly)


def test_finished_run_is_not_trained_again(finished, shapes):
    before = latest_checkpoint(finished).path.stat().st_mtime_ns
    _train(finished, shapes)
    assert latest_checkpoint(finished).path.stat().st_mtime_ns == before


def test_another_configuration_is_refused_with_the_difference(finished, shapes):
    changed = dataclasses.replace(CONFIG, base_learning_rate=0.5)
    with pytest.raises(UserError, match=r"train.base_learning_rate \(was 0.01, now 0.5\).*--fork_from"):
        _train(finished, shapes, changed)


def test_what_changes_no_weight_may_change(finished, shapes):
    stored = (finished / "config.json").read_text()
    changed = dataclasses.replace(CONFIG, save_interval_steps=7, log_steps=3, eval_interval_steps=0)
    _train(finished, shapes, changed)
    assert TrainConfig.from_json(json.loads((finished / "config.json").read_text())["train"]) == changed
    (finished / "config.json").write_text(stored)  # for the tests that follow


def test_fork_goes_on_from_another_run_with_other_flags(finished, shapes, tmp_path, monkeypatch, eager):
    counted = []

    def step(pace):
        counted.append(pace)

    monkeypatch.setattr(recorder.Pace, "step", step)
    config = dataclasses.replace(
        CONFIG, training_number_of_steps=6, base_learning_rate=0.02, fork_from=str(finished), eval_interval_steps=0
    )
    unchanged = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    _train(tmp_path / "fork", shapes, config)
    rows = _rows(tmp_path / "fork" / "metrics.csv")
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert float(rows[4]["learning_rate"]) == pytest.approx(0.02 * (1 / 6) ** 0.9)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()} == unchanged
    assert len(counted) == 2  # each step once, for the speed


def test_source_of_the_weights_may_be_spelled_otherwise_or_moved_with_the_run(
    finished, shapes, tmp_path, monkeypatch, eager
):
    root = tmp_path / "R"
    shutil.copytree(finished, root / "first")
    monkeypatch.chdir(tmp_path)
    config = dataclasses.replace(
        CONFIG, training_number_of_steps=5, fork_from="R/first", eval_interval_steps=0, save_interval_steps=1
    )
    _train("R/second", shapes, config)
    for source in (str(root / "first"), "./R/first"):
        _train("R/second", shapes, dataclasses.replace(config, fork_from=source))
    root.rename(tmp_path / "S")
    _train("S/second", shapes, dataclasses.replace(config, fork_from="S/first"))
    (tmp_path / "S" / "other").mkdir()
    with pytest.raises(UserError, match=r"train.fork_from \(was R/first, now S/other\)"):
        _train("S/second", shapes, dataclasses.replace(config, fork_from="S/other"))


def test_directory_has_one_training_at_a_time(finished, shapes):
    with (
        only_process(finished, "workdir"),
        pytest.raises(UserError, match=r"is in use by process \d+ on .* since .*; wait .* another --workdir"),
    ):
        _train(finished, shapes)
    _train(finished, shapes)


def test_data_that_was_moved_goes_on_and_other_data_is_refused(finished, shapes, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    moved = dataclasses.replace(DATA, data_dir=str(tmp_path / "moved"))
    trainer.train(run, MODEL, moved, CONFIG, Dataset(shutil.copytree(shapes.path, tmp_path / "moved"), shapes.info))
    assert json.loads((run / "config.json").read_text())["data"]["data_dir"] == str(tmp_path / "moved")
    before = (run / "dataset.json").read_bytes()
    names = shapes.info.class_names
    exchanged = dataclasses.replace(shapes.info, class_names=(*names[1:], names[0]))
    with pytest.raises(UserError, match="holds a run on other data: the classes are in another order: class 0 was"):
        trainer.train(run, MODEL, moved, CONFIG, Dataset(tmp_path / "moved", exchanged))
    assert (run / "dataset.json").read_bytes() == before


def test_training_without_a_start_says_that_it_is_from_scratch(shapes, capsys):
    initialization.initialize(build_training_model(MODEL, CONFIG, 255), MODEL, DATA, CONFIG, shapes)
    assert capsys.readouterr().out == "No --tf_initial_checkpoint: the training starts from scratch.\n"


def test_classes_of_a_published_checkpoint_are_compared_by_name(shapes):
    other = initialization._other_classes("mobilenetv2_coco_voc_trainaug", shapes)
    assert other == "there were 21 classes and are 7"
    voc = dataclasses.replace(shapes.info, class_names=VOC_CLASS_NAMES)
    assert initialization._other_classes("mobilenetv2_coco_voc_trainaug", Dataset(shapes.path, voc)) is None
    own = dataclasses.replace(voc, class_names=("sky", *VOC_CLASS_NAMES[1:]))
    other = initialization._other_classes("mobilenetv2_coco_voc_trainaug", Dataset(shapes.path, own))
    assert other == "class 0 was 'background' and is 'sky'"
    for source in ("imagenet", "xception_65_imagenet", "model.ckpt"):
        assert initialization._other_classes(source, shapes) is None


def test_logits_of_other_classes_start_fresh_and_a_fork_is_refused(finished, shapes, capsys):
    names = shapes.info.class_names
    exchanged = Dataset(shapes.path, dataclasses.replace(shapes.info, class_names=(*names[1:], names[0])))
    model = build_training_model(MODEL, CONFIG, 255)
    fine_tuned = dataclasses.replace(CONFIG, tf_initial_checkpoint=str(finished))
    initialization.initialize(model, MODEL, DATA, fine_tuned, exchanged)
    said = capsys.readouterr().out
    assert "The logits start fresh: the checkpoint has other classes (the classes are in another order: class 0" in said
    initialization.initialize(model, MODEL, DATA, fine_tuned, shapes)
    said = capsys.readouterr().out
    assert "logits" not in said
    assert "from scratch" not in said
    with pytest.raises(UserError, match=r"--fork_from=.* has other classes than .*; give --tf_initial_checkpoint="):
        initialization.initialize(model, MODEL, DATA, dataclasses.replace(CONFIG, fork_from=str(finished)), exchanged)


def test_step_is_saved_before_an_evaluation_that_fails_ends_the_training(
    finished_eagerly, shapes, tmp_path, eager, capsys
):
    def fail():
        raise UserError("No labelled pixel.")

    config = dataclasses.replace(CONFIG, save_interval_steps=100)
    with pytest.raises(UserError, match="Step 3 is saved, but its evaluation on --eval_split=val failed: No labelled"):
        _train(tmp_path, shapes, config, _FixedScores(at=3, do=fail))
    assert latest_checkpoint(tmp_path).step == 3
    (best_checkpoint(tmp_path).path / "metrics.json").write_text("{")
    for name in (".curves.png.x.tmp", "checkpoints/.step_00000001.y.tmp"):
        (tmp_path / name).mkdir()
    _train(tmp_path, shapes, config, _FixedScores())
    _assert_equal_runs(tmp_path, finished_eagerly)
    assert "metrics.json is written again from the row of step 2" in capsys.readouterr().out
    assert best_checkpoint(tmp_path).step == 2
    assert list(tmp_path.rglob(".*")) == []


def test_divergence_stops_and_says_what_to_look_at(shapes, tmp_path, eager):
    config = dataclasses.replace(CONFIG, base_learning_rate=1e30)
    with pytest.raises(UserError, match=r"(?s)Training stopped at step \d: .*--base_learning_rate") as stopped:
        _train(tmp_path / "run", shapes, config)
    saved = list((tmp_path / "run").glob("diverged_step_*"))
    assert len(saved) == 1
    assert saved[0].name in str(stopped.value)
    report = json.loads((saved[0] / "report.json").read_text())
    assert len(report["records"]) == 2
    for checkpoint in list_checkpoints(tmp_path / "run"):
        assert all(np.isfinite(array).all() for array in read_weights(checkpoint).values())


def test_damaged_record_is_named(shapes, tmp_path, eager):
    broken = Dataset(tmp_path / "data", shapes.info)
    shutil.copytree(shapes.path, broken.path)
    shard = broken.shards("train")[0]
    data = bytearray(shard.read_bytes())
    data[-500] ^= 255
    shard.write_bytes(data)
    with pytest.raises(UserError, match=r"The split train of .* cannot be read: record 11 of .*train-00000"):
        _train(tmp_path / "run", broken)


def test_split_without_labels_is_refused(shapes, tmp_path):
    unlabelled = dataclasses.replace(shapes, info=dataclasses.replace(shapes.info, unlabelled=("train",)))
    with pytest.raises(UserError, match="The split train of .* has no labels, .*; splits with labels: val"):
        _train(tmp_path / "run", unlabelled)
    assert not (tmp_path / "run").exists()


def test_label_out_of_range_is_named_before_anything_is_trained(shapes, tmp_path):
    info = dataclasses.replace(shapes.info, class_names=shapes.info.class_names[:1], palette=shapes.info.palette[:1])
    model = dataclasses.replace(MODEL, num_classes=1)
    with pytest.raises(UserError, match=r"has the ids 1, .*but there are 1 classes .*check-data reports all"):
        trainer.train(tmp_path / "run", model, DATA, CONFIG, Dataset(shapes.path, info))
    assert not (tmp_path / "run").exists()


def test_crop_that_does_not_align_is_refused(shapes, tmp_path):
    data = dataclasses.replace(DATA, train_crop_size=(32, 40))
    with pytest.raises(UserError, match="--train_crop_size=32,40 does not align .* for example 17,33"):
        trainer.train(tmp_path / "run", MODEL, data, CONFIG, shapes)
    assert not (tmp_path / "run").exists()


def test_checkpoint_that_does_not_fit_leaves_no_run_directory(finished, shapes, tmp_path):
    wider = dataclasses.replace(MODEL, nas_stem_output_num_conv_filters=3)
    config = dataclasses.replace(CONFIG, tf_initial_checkpoint=str(finished))
    with pytest.raises(UserError, match="pass --model_variant=auto_deeplab --nas_stem_output_num_conv_filters=2"):
        trainer.train(tmp_path / "run", wider, DATA, config, shapes)
    assert not (tmp_path / "run").exists()


def test_moving_averages_need_a_checkpoint_that_may_have_them():
    with pytest.raises(UserError, match="--restore_moving_averages is for --tf_initial_checkpoint"):
        TrainConfig(restore_moving_averages=True)
