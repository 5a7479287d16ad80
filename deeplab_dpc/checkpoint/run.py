"""Saving and restoring of the checkpoints of runs: directories that are written atomically.

run_directory.py defines their paths, run_state.py their contents; run_reading.py reads them, run_best.py has the best.
"""

import contextlib
import dataclasses
import pathlib

import keras
import numpy as np

from deeplab_dpc.checkpoint.names import named_variables
from deeplab_dpc.checkpoint.run_directory import (
    RunCheckpoint,
    best_checkpoint,
    checkpoint_name,
    latest_checkpoint,
    list_checkpoints,
    remove_checkpoints,
    run_identity,
    set_aside,
    training_folder,
)
from deeplab_dpc.checkpoint.run_reading import newest_whole, read_digests, read_own_progress
from deeplab_dpc.checkpoint.run_state import (
    ITERATION,
    OPTIMIZER,
    PROGRESS,
    RANDOM_STATES,
    WEIGHTS,
    Arrays,
    DamageError,
    Progress,
    assign,
    digest_of,
    misfit,
    read_arrays,
    state_variables,
    stored_size,
    write_arrays,
    write_progress,
)
from deeplab_dpc.console import console
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import atomic_path, require_space
from deeplab_dpc.models.segmenter import Segmenter
from deeplab_dpc.run_config import config_differences, read_run

KEPT = 2
ARCHITECTURES = ("model.dense_prediction_cell", "model.genotype")


def save_checkpoint(
    workdir: pathlib.Path, network: Segmenter, optimizer: keras.optimizers.Optimizer, progress: Progress
) -> None:
    """Writes the state that a training needs to continue after `progress.step` steps; keeps the last two checkpoints,
    and that from which forks start.

    Args:
      workdir: the run directory.
      network: network whose weights and random generators are saved.
      optimizer: optimizer that is built for the network.
      progress: state of the training.
    """
    folder = training_folder(workdir)
    state = state_variables(network, optimizer)
    require_space(folder, sum(stored_size(variables.values()) for variables in state.values()))
    with atomic_path(folder / checkpoint_name(progress.step)) as partial:
        partial.mkdir()
        for file, variables in state.items():
            write_arrays(partial / file, variables)
        write_progress(partial / PROGRESS, dataclasses.replace(progress, run=run_identity(workdir)))
    remove_checkpoints(old for old in list_checkpoints(workdir)[:-KEPT] if old.step != progress.before_fall)


def restore_training(
    workdir: pathlib.Path, network: Segmenter, optimizer: keras.optimizers.Optimizer
) -> Progress | None:
    """Restores the newest undamaged checkpoint; damaged ones after it are set aside, each with a printed line.

    Args:
      workdir: the run directory.
      network: network whose weights and random generators are overwritten.
      optimizer: optimizer that is built for the network.

    Returns:
      Progress of the training; None if it has no checkpoint.

    Raises:
      UserError: if all checkpoints are damaged, or the newest undamaged one does not fit; nothing is restored then.
    """
    if not list_checkpoints(workdir):
        return None
    whole, damaged = newest_whole(workdir)
    for checkpoint, reason in damaged:
        aside = set_aside(checkpoint)
        console.print(f"{checkpoint.path} is damaged ({reason}); it is kept as {aside.name}, and not used.")
    _require_weights(whole.checkpoint, network, whole.arrays[WEIGHTS])
    state = state_variables(network, optimizer)
    for file in (OPTIMIZER, RANDOM_STATES):
        name = misfit(state[file], whole.arrays[file])
        if name is not None:
            raise UserError(
                f"{whole.checkpoint.path / file} does not fit the training: {name} differs; it was written by another "
                "version, so start a new run from it (--fork_from with a new --workdir)."
            )
    for file, variables in state.items():
        assign(variables, whole.arrays[file])
    return whole.progress


def fork_training(source: str | pathlib.Path, network: Segmenter, optimizer: keras.optimizers.Optimizer) -> Progress:
    """Restores the newest undamaged checkpoint of another run, which is not changed, to start a new run from it.

    If that run has an early_end_step, this is the checkpoint before the learning rate fell.

    An optimizer with other variables starts fresh, but at the step of the checkpoint; random generators
    start fresh if their number differs. In both cases a line is printed.

    Args:
      source: directory of the other run.
      network: network of the new run, whose weights are overwritten.
      optimizer: optimizer that is built for the network.

    Returns:
      Progress of the other run at the checkpoint, from which the new run starts.

    Raises:
      UserError: if `source` is not a run, has no undamaged checkpoint, or has another network.
    """
    config = read_run(source, "fork_from")
    if not list_checkpoints(source):
        raise UserError(f"--fork_from={source} has no checkpoint to start from; give a run that has trained.")
    whole, damaged = newest_whole(source)
    start = _fork_step(source, whole.progress)
    if start != whole.progress.step:
        whole, older = newest_whole(source, start)
        damaged += older
    for checkpoint, reason in damaged:
        console.print(f"{checkpoint.path} is damaged ({reason}) and not used.")
    state = state_variables(network, optimizer)
    name = misfit(state[WEIGHTS], whole.arrays[WEIGHTS])
    differences = config_differences({"model": config["model"]}, {"model": network.config})
    # The shapes do not show the rates and inputs of a cell and the edges of a genotype.
    unseen = [differences[field] for field in ARCHITECTURES if field in differences]
    if name is not None or unseen:
        what = f"{name} is absent or has another shape" if name is not None else "its weights are of another one"
        shown = unseen or list(differences.values())
        raise UserError(
            f"--fork_from={source} has another network: {what}{f' ({shown[0]})' if shown else ''}; give the flags "
            f"of its network, or take what fits with --tf_initial_checkpoint={source}."
        )
    assign(state[WEIGHTS], whole.arrays[WEIGHTS])
    if misfit(state[OPTIMIZER], whole.arrays[OPTIMIZER]) is None:
        assign(state[OPTIMIZER], whole.arrays[OPTIMIZER])
    else:
        state[OPTIMIZER][ITERATION].assign(whole.progress.step)
        console.print(f"The optimizer starts fresh at step {whole.progress.step}: {source} has another one.")
    if misfit(state[RANDOM_STATES], whole.arrays[RANDOM_STATES]) is None:
        assign(state[RANDOM_STATES], whole.arrays[RANDOM_STATES])
    else:
        console.print(f"The random generators start fresh: {source} has others.")
    return dataclasses.replace(whole.progress, began=whole.progress.step, shortened=None, before_fall=None)


def fork_step(workdir: str | pathlib.Path) -> int:
    """Returns the step from which a fork of a run starts: its newest, or that before the fall to an early_end_step."""
    return _fork_step(workdir, newest_progress(workdir))


def _fork_step(workdir: str | pathlib.Path, newest: Progress) -> int:
    kept = {checkpoint.step for checkpoint in list_checkpoints(workdir)}
    return newest.before_fall if newest.before_fall is not None and newest.before_fall in kept else newest.step


def load_weights(checkpoint: RunCheckpoint, network: Segmenter) -> None:
    """Restores the weights of a network.

    Raises:
      UserError: if the file does not fit the network or is damaged.
    """
    arrays = read_weights(checkpoint)
    _require_weights(checkpoint, network, arrays)
    assign(named_variables(network), arrays)


def read_weights(checkpoint: RunCheckpoint) -> dict[str, np.ndarray]:
    """Returns the weights of a checkpoint by published name.

    Raises:
      UserError: if the file is damaged, or belongs to another step.
    """
    try:
        return read_arrays(checkpoint.path / WEIGHTS, digest_of(read_digests(checkpoint), WEIGHTS))
    except DamageError as error:
        workdir = checkpoint.path.parents[1]
        raise UserError(f"{checkpoint.path} is damaged ({error}); {_what_helps(workdir, checkpoint)}.") from error


def _what_helps(workdir: pathlib.Path, damaged: RunCheckpoint) -> str:
    """Returns the advice for a damaged checkpoint that was requested: undamaged ones to use instead."""
    best = best_checkpoint(workdir)
    choices = [(str(other.step), other) for other in list_checkpoints(workdir)] + ([("best", best)] if best else [])
    whole = []
    for name, other in choices:
        if other.path != damaged.path:
            with contextlib.suppress(DamageError):
                read_arrays(other.path / WEIGHTS, digest_of(read_digests(other), WEIGHTS))
                whole.append(name)
    if whole:
        return f"give --run_checkpoint={' or '.join(whole)}, which can be read"
    return "no other checkpoint of the run can be read, so put a copy of it there, or train in another --workdir"


def newest_progress(workdir: str | pathlib.Path) -> Progress:
    """Returns the progress of a training at its newest checkpoint.

    Raises:
      UserError: if there is no checkpoint, or the newest one is damaged.
    """
    checkpoint = latest_checkpoint(workdir)
    try:
        return read_own_progress(checkpoint)[0]
    except DamageError as error:
        raise UserError(f"{checkpoint.path} is damaged ({error}).") from error


def _require_weights(checkpoint: RunCheckpoint, network: Segmenter, arrays: Arrays) -> None:
    name = misfit(named_variables(network), arrays)
    if name is not None:
        raise UserError(
            f"{checkpoint.path} does not fit the network of its run: {name} is absent or has another shape; it was "
            "written by another version."
        )
