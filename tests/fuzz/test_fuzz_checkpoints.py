"""Damaged checkpoints of trainings and of Auto-DeepLab's search: the same, the one before with a line, or a sentence.

A file may also be that of another step, whole as it is.
"""

import pathlib
import shutil

import keras
import numpy as np
import pytest
from mutations import mutated_bytes

from deeplab_dpc.checkpoint.run import read_weights, restore_training, save_checkpoint
from deeplab_dpc.checkpoint.run_best import best_metrics, save_best
from deeplab_dpc.checkpoint.run_directory import best_checkpoint, find_checkpoint
from deeplab_dpc.checkpoint.run_state import Progress, state_variables
from deeplab_dpc.search.auto_deeplab import checkpoints

STEPS = (2, 4)
ROWS = [{"step": 2, "loss": 0.5, "gradient_norm": float("inf")}, {"step": 4, "loss": 0.25, "gradient_norm": 1.5}]
METRICS = {"miou": 0.25, "pixel_accuracy": 0.75}


def _damage(rng, folder: pathlib.Path, other: pathlib.Path) -> None:
    """Changes, removes or exchanges one file of `folder`; `other` has files of the same names."""
    file = sorted(folder.iterdir())[int(rng.integers(len(list(folder.iterdir()))))]
    kind = int(rng.integers(8))
    if kind == 0:
        file.unlink()
    elif kind == 1:
        shutil.copy(other / file.name, file)
    else:
        file.write_bytes(mutated_bytes(rng, file.read_bytes()))


def _copied(source: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
    shutil.rmtree(target, ignore_errors=True)
    return shutil.copytree(source, target)


def _step(workdir: pathlib.Path, step: int) -> pathlib.Path:
    return workdir / "checkpoints" / f"step_{step:08d}"


@pytest.fixture(scope="module")
def training():
    network = keras.Sequential([keras.layers.Dense(2), keras.layers.Dropout(0.5)])
    network.build((None, 3))
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build(network.trainable_variables)
    return network, optimizer


def _values(training):
    return {
        f"{file}/{name}": np.array(variable)
        for file, variables in state_variables(*training).items()
        for name, variable in variables.items()
    }


def _equal(ours, theirs) -> bool:
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def run(training, tmp_path_factory):
    """A run with checkpoints of two steps, the best of the first, and all values by step."""
    workdir, values = tmp_path_factory.mktemp("run"), {}
    for step in STEPS:
        rng = np.random.default_rng(step)
        for variables in state_variables(*training).values():
            for variable in variables.values():
                variable.assign((100 * rng.random(variable.shape)).astype(variable.dtype))
        values[step] = _values(training)
        rows = ROWS[: STEPS.index(step) + 1]
        save_checkpoint(workdir, *training, Progress(step, rows, [{"step": row["step"], **METRICS} for row in rows]))
    save_best(workdir, training[0], 2, METRICS)
    return workdir, values


def test_training_continues_from_what_was_saved(fuzz, run, training, tmp_path, capsys):
    workdir, values = run

    def one(rng):
        copy = _copied(workdir, tmp_path / "run")
        damaged = STEPS[int(rng.integers(2))]
        _damage(rng, _step(copy, damaged), _step(workdir, sum(STEPS) - damaged))
        capsys.readouterr()
        progress = restore_training(copy, *training)
        assert _equal(_values(training), values[progress.step])
        assert progress.rows == ROWS[: STEPS.index(progress.step) + 1]
        if progress.step == STEPS[-1]:
            return "same"
        assert "is damaged" in capsys.readouterr().out
        return "the one before, said"

    tally = fuzz("checkpoints, training", one)
    assert tally["the one before, said"]
    assert tally["same"]


def test_weights_that_are_evaluated_are_those_of_their_step(fuzz, run, training, tmp_path):
    workdir, _ = run
    expected = {step: read_weights(find_checkpoint(workdir, str(step))) for step in STEPS}
    best = best_checkpoint(workdir)
    expected_best = read_weights(best)

    def one(rng):
        copy = _copied(workdir, tmp_path / "run")
        if rng.integers(2):
            damaged = STEPS[int(rng.integers(2))]
            _damage(rng, _step(copy, damaged), _step(workdir, sum(STEPS) - damaged))
            assert _equal(read_weights(find_checkpoint(copy, str(damaged))), expected[damaged])
        else:
            _damage(rng, copy / "best" / best.path.name, best.path)
            assert _equal(read_weights(best_checkpoint(copy)), expected_best)
        return "same"

    assert fuzz("checkpoints, evaluation", one)["refused"]


def test_metrics_of_the_best_are_mended_or_set_aside(fuzz, run, tmp_path, capsys):
    workdir, _ = run

    def one(rng):
        copy = _copied(workdir, tmp_path / "run")
        _damage(rng, best_checkpoint(copy).path, best_checkpoint(workdir).path)
        capsys.readouterr()
        known = bool(rng.integers(2))
        found = best_metrics(copy, [{"step": 2, **METRICS}] if known else [])
        said = capsys.readouterr().out
        assert found in (METRICS, {})
        assert found == best_metrics(copy)
        if found:
            return "mended, said" if said else "same"
        assert "it is kept as damaged_step_00000002" in said
        return "set aside, said"

    tally = fuzz("checkpoints, the best", one)
    assert tally["mended, said"]
    assert tally["set aside, said"]


def test_search_continues_from_what_was_saved(fuzz, tmp_path, capsys):
    workdir, standings = tmp_path / "search", {}
    for step in STEPS:
        weights = keras.ops.convert_to_tensor(np.full((3,), step, "float32"))
        epoch = checkpoints.EpochSums([0.5] * step, [0.25], 1.5)
        standings[step] = checkpoints.Standing({"weights": weights}, step, epoch, [{"step": 1, "miou": 0.5}])
        checkpoints.save(workdir, standings[step])
    initial = {"weights": keras.ops.zeros((3,))}

    def one(rng):
        copy = _copied(workdir, tmp_path / "copy")
        damaged = STEPS[int(rng.integers(2))]
        _damage(rng, _step(copy, damaged), _step(workdir, sum(STEPS) - damaged))
        capsys.readouterr()
        found = checkpoints.restore(copy, initial)
        expected = standings[found.step]
        assert np.array_equal(found.state["weights"], expected.state["weights"])
        assert (found.epoch, found.history) == (expected.epoch, expected.history)
        if found.step == STEPS[-1]:
            return "same"
        assert "is damaged" in capsys.readouterr().out
        return "the one before, said"

    assert fuzz("checkpoints, search by gradient", one)["the one before, said"]
