"""Checkpoints of a search: WORKDIR/checkpoints/step_00000400, complete or absent; the last two are kept.

    state.npz      everything that the steps change (weights, statistics, alphas, betas, both optimizers), by name
    epoch.npz      losses and seconds of the steps of an unfinished epoch
    progress.json  the step, and the history: a row for each epoch

The positions in both halves and the learning rate follow from the step.
"""

import dataclasses
import math
import pathlib
from typing import Any

import keras
import numpy as np

from deeplab_dpc.checkpoint.run_directory import (
    RunCheckpoint,
    checkpoint_name,
    list_checkpoints,
    remove_checkpoints,
    set_aside,
    training_folder,
)
from deeplab_dpc.checkpoint.run_state import (
    PROGRESS,
    DamageError,
    Progress,
    digest_of,
    misfit,
    read_arrays,
    read_sealed_progress,
    require_step,
    write_arrays,
    write_progress,
)
from deeplab_dpc.console import console
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import atomic_path, require_space
from deeplab_dpc.search.auto_deeplab.layout import State

STATE, EPOCH = "state.npz", "epoch.npz"
KEPT = 2
FILE_OVERHEAD = 2_000_000  # bytes, for names and structure

Row = dict[str, Any]


@dataclasses.dataclass
class EpochSums:
    """The losses and seconds of the steps of an epoch so far.

    Attributes:
      weight_losses: loss of each weight step.
      architecture_losses: loss of each architecture step.
      seconds: seconds that the steps took.
    """

    weight_losses: list[float] = dataclasses.field(default_factory=list)
    architecture_losses: list[float] = dataclasses.field(default_factory=list)
    seconds: float = 0.0


@dataclasses.dataclass
class Standing:
    """The progress of a search.

    Attributes:
      state: state of the program.
      step: number of weight steps that are done.
      epoch: losses and seconds of the epoch that is not evaluated yet.
      history: one row for each evaluated epoch.
    """

    state: State
    step: int = 0
    epoch: EpochSums = dataclasses.field(default_factory=EpochSums)
    history: list[Row] = dataclasses.field(default_factory=list)


def flatten(state: State) -> dict[str, Any]:
    """Returns the tensors by the keys that lead to them, such as "weights/stem/0/kernel"."""
    flat: dict[str, Any] = {}
    for key, value in state.items():
        if isinstance(value, dict):
            flat.update({f"{key}/{rest}": tensor for rest, tensor in flatten(value).items()})
        else:
            flat[str(key)] = value
    return flat


def unflatten(flat: dict[str, np.ndarray], template: State, prefix: str = "") -> State:
    """Returns the arrays as tensors, nested like the template."""
    return {
        key: unflatten(flat, value, f"{prefix}{key}/")
        if isinstance(value, dict)
        else keras.ops.convert_to_tensor(flat[f"{prefix}{key}"])
        for key, value in template.items()
    }


def save(workdir: pathlib.Path, standing: Standing) -> None:
    """Writes the state that a search needs to continue; keeps the last two checkpoints."""
    tensors = flatten(standing.state)
    folder = training_folder(workdir)
    require_space(folder, sum(4 * math.prod(tensor.shape) for tensor in tensors.values()) + FILE_OVERHEAD)
    with atomic_path(folder / checkpoint_name(standing.step)) as partial:
        partial.mkdir()
        write_arrays(partial / STATE, {name: keras.ops.convert_to_numpy(tensor) for name, tensor in tensors.items()})
        write_arrays(partial / EPOCH, {name: np.array(value) for name, value in vars(standing.epoch).items()})
        write_progress(partial / PROGRESS, Progress(standing.step, standing.history))
    remove_checkpoints(list_checkpoints(workdir)[:-KEPT])


def restore(workdir: pathlib.Path, initial_state: State) -> Standing:
    """Returns the newest undamaged checkpoint; damaged ones after it are set aside, each with a printed line.

    Args:
      workdir: run directory of the search.
      initial_state: initial state of the program, with which the search begins if there is no checkpoint.

    Raises:
      UserError: if all checkpoints are damaged, or the newest undamaged one does not fit the program.
    """
    checkpoints = list_checkpoints(workdir)
    damaged: list[tuple[RunCheckpoint, str]] = []
    for checkpoint in reversed(checkpoints):
        try:
            standing = _read(checkpoint, initial_state)
        except DamageError as error:
            damaged.append((checkpoint, str(error)))
            continue
        for old, reason in damaged:
            console.print(f"{old.path} is damaged ({reason}); it is kept as {set_aside(old).name}, and not used.")
        return standing
    if damaged:
        shown = "; ".join(f"{checkpoint.path.name} ({reason})" for checkpoint, reason in damaged)
        raise UserError(
            f"All checkpoints in {training_folder(workdir)} are damaged: {shown}; put a copy of one there, or remove "
            "the folder to search from the beginning."
        )
    return Standing(initial_state)


def _read(checkpoint: RunCheckpoint, template: State) -> Standing:
    progress, digests = read_sealed_progress(checkpoint.path / PROGRESS)
    require_step(progress, checkpoint.step)
    arrays, epoch = (read_arrays(checkpoint.path / file, digest_of(digests, file)) for file in (STATE, EPOCH))
    name = misfit(flatten(template), arrays)
    if name is not None:
        raise UserError(
            f"{checkpoint.path / STATE} does not fit the supernet: {name} is absent or has another shape; it was "
            "written by another version, so start again with another --workdir."
        )
    if epoch.keys() != vars(EpochSums()).keys():
        raise DamageError(f"{EPOCH} does not hold what was written")
    sums = EpochSums(**{name: value.tolist() for name, value in epoch.items()})
    return Standing(unflatten(arrays, template), progress.step, sums, progress.rows)
