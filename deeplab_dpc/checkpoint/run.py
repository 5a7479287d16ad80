"""Saving and restoring of the checkpoints of runs: directories that are written atomically.

run_directory.py defines their paths, run_state.py their contents.
"""

import contextlib
import dataclasses
import math
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from deeplab_dpc.checkpoint.names import named_variables
from deeplab_dpc.checkpoint.run_directory import (
    RunCheckpoint,
    best_checkpoint,
    best_folder,
    checkpoint_name,
    checkpoints_in,
    is_of_another_run,
    latest_checkpoint,
    list_checkpoints,
    remove_checkpoints,
    run_identity,
    set_aside,
    training_folder,
)
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
    read_sealed,
    read_sealed_progress,
    require_step,
    state_variables,
    write_arrays,
    write_progress,
    write_sealed,
)
from deeplab_dpc.console import console
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import atomic_path, require_space
from deeplab_dpc.models.segmenter import Segmenter
from deeplab_dpc.run_config import config_differences, read_run

METRICS = "metrics.json"
KEPT = 2
ARCHITECTURES = ("model.dense_prediction_cell", "model.genotype")
FILE_OVERHEAD = 2_000_000  # bytes of a file for names and structure


def save_checkpoint(
    workdir: pathlib.Path, network: Segmenter, optimizer: keras.optimizers.Optimizer, progress: Progress
) -> None:
    """Writes the state that a training needs to continue after `progress.step` steps; keeps the last two checkpoints.

    Args:
      workdir: the run directory.
      network: network whose weights and random generators are saved.
      optimizer: optimizer that is built for the network.
      progress: state of the training.
    """
    folder = training_folder(workdir)
    state = state_variables(network, optimizer)
    require_space(folder, sum(_size(variables.values()) for variables in state.values()))
    with atomic_path(folder / checkpoint_name(progress.step)) as partial:
        partial.mkdir()
        for file, variables in state.items():
            write_arrays(partial / file, variables)
        write_progress(partial / PROGRESS, dataclasses.replace(progress, run=run_identity(workdir)))
    remove_checkpoints(list_checkpoints(workdir)[:-KEPT])


def save_best(workdir: pathlib.Path, network: Segmenter, step: int, metrics: dict[str, float]) -> None:
    """Writes the network as the best checkpoint, with the metrics of its evaluation, and removes the previous one."""
    folder = best_folder(workdir)
    variables = named_variables(network)
    require_space(folder, _size(variables.values()))
    with atomic_path(folder / checkpoint_name(step)) as partial:
        partial.mkdir()
        write_arrays(partial / WEIGHTS, variables)
        write_sealed(partial / METRICS, {"step": step, "metrics": metrics, "run": run_identity(workdir)})
    remove_checkpoints(other for other in checkpoints_in(folder) if other.step != step)


def best_metrics(workdir: str | pathlib.Path, validations: Sequence[dict[str, Any]] = ()) -> dict[str, float]:
    """Returns the metrics of the best checkpoint; empty before the first.

    Metrics that cannot be read are restored from the row of their step in `validations` (validation.csv); a checkpoint
    without such a row is set aside. In both cases a line is printed.
    """
    best = best_checkpoint(workdir)
    if best is None:
        return {}
    try:
        return _stored_metrics(best)
    except DamageError as error:
        damage = f"{best.path} is damaged ({error})"
    rows = [row for row in validations if row["step"] == best.step]
    try:
        read_arrays(best.path / WEIGHTS)
    except DamageError:
        rows = []
    if not rows:
        aside = set_aside(best)
        console.print(f"{damage}; it is kept as {aside.name}, and the next evaluation is the best so far.")
        return {}
    row = rows[-1].items()
    metrics = {name: value for name, value in row if name != "step" and isinstance(value, (int, float))}
    run = run_identity(best.path.parents[1])
    write_sealed(best.path / METRICS, {"step": best.step, "metrics": metrics, "run": run})
    console.print(f"{damage}; {METRICS} is written again from the row of step {best.step} in validation.csv.")
    return metrics


def _stored_metrics(best: RunCheckpoint) -> dict[str, float]:
    stored, _ = _read_best(best)
    metrics = stored.get("metrics")
    if stored.get("step") != best.step or not isinstance(metrics, dict):
        raise DamageError(f"{METRICS} does not hold the metrics of step {best.step}")
    if not all(isinstance(value, (int, float)) for value in metrics.values()):
        raise DamageError(f"{METRICS} holds a metric that is no number")
    return metrics


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
    whole, damaged = _newest_whole(workdir)
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
    whole, damaged = _newest_whole(source)
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
    return dataclasses.replace(whole.progress, began=whole.progress.step)


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
        return read_arrays(checkpoint.path / WEIGHTS, digest_of(_digests(checkpoint), WEIGHTS))
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
                read_arrays(other.path / WEIGHTS, digest_of(_digests(other), WEIGHTS))
                whole.append(name)
    if whole:
        return f"give --run_checkpoint={' or '.join(whole)}, which can be read"
    return "no other checkpoint of the run can be read, so put a copy of it there, or train in another --workdir"


def mend_best(workdir: str | pathlib.Path, validations: Sequence[dict[str, Any]]) -> None:
    """Sets the best checkpoint aside if its weights are damaged; its metrics are restored as in best_metrics."""
    best = best_checkpoint(workdir)
    if best is None:
        return
    digest = None
    with contextlib.suppress(DamageError):  # damaged metrics are handled below
        digest = _digests(best).get(WEIGHTS)
    try:
        read_arrays(best.path / WEIGHTS, digest)
    except DamageError as error:
        kept = f"it is kept as {set_aside(best).name}"
        console.print(f"{best.path} is damaged ({error}); {kept}, and there is no best until the next evaluation.")
        return
    best_metrics(workdir, validations)


def _digests(checkpoint: RunCheckpoint) -> dict[str, str]:
    """Returns the digests of a checkpoint's files; {} if it is from an earlier version."""
    if checkpoint.path.parent.name == best_folder("").name:
        return _read_best(checkpoint)[1]
    return _read_progress(checkpoint)[1]


def newest_progress(workdir: str | pathlib.Path) -> Progress:
    """Returns the progress of a training at its newest checkpoint.

    Raises:
      UserError: if there is no checkpoint, or the newest one is damaged.
    """
    checkpoint = latest_checkpoint(workdir)
    try:
        return _read_progress(checkpoint)[0]
    except DamageError as error:
        raise UserError(f"{checkpoint.path} is damaged ({error}).") from error


def _read_best(best: RunCheckpoint) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the contents of the best checkpoint's metrics.json, and the digests by file name."""
    stored, digests = read_sealed(best.path / METRICS, ("step", "metrics", "run"))
    _require_own(best, stored.get("run"))
    return stored, digests


def _read_progress(checkpoint: RunCheckpoint) -> tuple[Progress, dict[str, str]]:
    """Returns the progress of a checkpoint, and the digests by file name."""
    progress, digests = read_sealed_progress(checkpoint.path / PROGRESS)
    require_step(progress, checkpoint.step)
    _require_own(checkpoint, progress.run)
    return progress, digests


def _require_own(checkpoint: RunCheckpoint, identity: object) -> None:
    if is_of_another_run(checkpoint, identity):
        raise DamageError("it is of another run")


@dataclasses.dataclass(frozen=True)
class _Whole:
    """The contents of an undamaged checkpoint: arrays by file and name, and the progress."""

    checkpoint: RunCheckpoint
    arrays: dict[str, dict[str, np.ndarray]]
    progress: Progress


def _newest_whole(workdir: str | pathlib.Path) -> tuple[_Whole, list[tuple[RunCheckpoint, str]]]:
    """Returns the newest undamaged checkpoint, and the damaged ones after it, each with the reason."""
    damaged: list[tuple[RunCheckpoint, str]] = []
    for checkpoint in reversed(list_checkpoints(workdir)):
        try:
            return _read_whole(checkpoint), damaged
        except DamageError as error:
            damaged.append((checkpoint, str(error)))
    shown = "; ".join(f"{checkpoint.path.name} ({reason})" for checkpoint, reason in damaged)
    raise UserError(
        f"All checkpoints in {training_folder(workdir)} are damaged: {shown}; put a copy of one there, or remove the "
        "folder to train from the beginning."
    )


def _read_whole(checkpoint: RunCheckpoint) -> _Whole:
    progress, digests = _read_progress(checkpoint)
    arrays = {
        file: read_arrays(checkpoint.path / file, digest_of(digests, file))
        for file in (WEIGHTS, OPTIMIZER, RANDOM_STATES)
    }
    return _Whole(checkpoint, arrays, progress)


def _require_weights(checkpoint: RunCheckpoint, network: Segmenter, arrays: Arrays) -> None:
    name = misfit(named_variables(network), arrays)
    if name is not None:
        raise UserError(
            f"{checkpoint.path} does not fit the network of its run: {name} is absent or has another shape; it was "
            "written by another version."
        )


def _size(variables: Iterable[Any]) -> int:
    size: int = sum(4 * math.prod(variable.shape) for variable in variables) + FILE_OVERHEAD
    return size
