"""Checkpoints of our own runs: directories that are whole or absent, the last two kept.

WORKDIR/checkpoints/step_00000400/model.weights.h5   Keras weights and optimizer, common to all backends
                                  random_states.npz  states of the dropout generators
                                  progress.json      step and the rows of metrics.csv
"""

import dataclasses
import math
import pathlib
import shutil
from typing import Any

import keras
import numpy as np

from deeplab_dpc.errors import UserError
from deeplab_dpc.files import atomic_path, read_json, require_space, write_json

WEIGHTS = "model.weights.h5"
RANDOM_STATES = "random_states.npz"
PROGRESS = "progress.json"
KEPT = 2
FILE_OVERHEAD = 2_000_000  # bytes, for names and structure


@dataclasses.dataclass(frozen=True)
class RunCheckpoint:
    """A finished checkpoint of a run: its directory and step."""

    path: pathlib.Path
    step: int


def list_checkpoints(workdir: str | pathlib.Path) -> list[RunCheckpoint]:
    """The checkpoints of a run, oldest first."""
    found = [
        RunCheckpoint(path, int(path.name.removeprefix("step_")))
        for path in (pathlib.Path(workdir) / "checkpoints").glob("step_*")
    ]
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def latest_checkpoint(workdir: str | pathlib.Path) -> RunCheckpoint:
    """The newest checkpoint.

    Raises:
      UserError: if the run has none yet.
    """
    checkpoints = list_checkpoints(workdir)
    if not checkpoints:
        raise UserError(f"{workdir} has no checkpoint yet; train it first (python train.py --workdir={workdir} ...).")
    return checkpoints[-1]


def save_checkpoint(workdir: pathlib.Path, model: keras.Model, step: int, history: list[dict[str, float]]) -> None:
    """Writes the model, its optimizer and random states after `step` steps; keeps the last two checkpoints."""
    folder = workdir / "checkpoints"
    variables = [*model.variables, *model.optimizer.variables]
    require_space(folder, sum(4 * math.prod(variable.shape) for variable in variables) + FILE_OVERHEAD)
    with atomic_path(folder / f"step_{step:08d}") as partial:
        partial.mkdir()
        model.save_weights(partial / WEIGHTS)
        np.savez(partial / RANDOM_STATES, *map(np.asarray, _random_states(model)))
        write_json(partial / PROGRESS, {"step": step, "history": history})
    for old in list_checkpoints(workdir)[:-KEPT]:
        # Renamed first, so that a kill in between leaves no checkpoint that misses files.
        doomed = old.path.replace(old.path.with_name(f".{old.path.name}.tmp"))
        shutil.rmtree(doomed)


def load_training(checkpoint: RunCheckpoint, model: keras.Model) -> list[dict[str, float]]:
    """Restores what save_checkpoint wrote into a compiled model; returns the history."""
    # Without its variables the optimizer's state could not be restored.
    model.optimizer.build(model.trainable_variables)
    load_weights(checkpoint, model)
    with np.load(checkpoint.path / RANDOM_STATES) as arrays:
        for i, state in enumerate(_random_states(model)):
            state.assign(arrays[f"arr_{i}"])
    return read_json(checkpoint.path / PROGRESS, "training progress")["history"]


def load_weights(checkpoint: RunCheckpoint, model: keras.Model) -> None:
    """Restores the weights, and the optimizer of a compiled model.

    Raises:
      UserError: if the file does not fit the model or is damaged.
    """
    try:
        model.load_weights(checkpoint.path / WEIGHTS)
    except (ValueError, OSError, KeyError) as error:
        raise UserError(f"{checkpoint.path / WEIGHTS} cannot be restored: {str(error).splitlines()[0]}") from error


def _random_states(model: keras.Model) -> list[Any]:
    """The states of random generators (dropout), which Keras does not count as weights."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model.non_trainable_variables if id(variable) not in weights]
