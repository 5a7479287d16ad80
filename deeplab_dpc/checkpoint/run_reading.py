"""The contents of a run's checkpoints, and the search for the newest undamaged one.

Contents that are damaged or belong to another run raise a DamageError.
"""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from deeplab_dpc.checkpoint.run_directory import (
    RunCheckpoint,
    best_folder,
    is_of_another_run,
    list_checkpoints,
    training_folder,
)
from deeplab_dpc.checkpoint.run_state import (
    OPTIMIZER,
    PROGRESS,
    RANDOM_STATES,
    WEIGHTS,
    DamageError,
    Progress,
    digest_of,
    read_arrays,
    read_sealed,
    read_sealed_progress,
    require_step,
)
from deeplab_dpc.errors import UserError

METRICS = "metrics.json"


@dataclasses.dataclass(frozen=True)
class WholeCheckpoint:
    """The contents of an undamaged checkpoint: arrays by file and name, and the progress."""

    checkpoint: RunCheckpoint
    arrays: dict[str, dict[str, np.ndarray]]
    progress: Progress


def newest_whole(
    workdir: str | pathlib.Path, last: int | None = None
) -> tuple[WholeCheckpoint, list[tuple[RunCheckpoint, str]]]:
    """Returns the newest undamaged checkpoint, and the damaged ones after it, each with the reason; with `last` only of
    those up to that step.
    """
    damaged: list[tuple[RunCheckpoint, str]] = []
    for checkpoint in reversed(list_checkpoints(workdir)):
        if last is not None and checkpoint.step > last:
            continue
        try:
            return _read_whole(checkpoint), damaged
        except DamageError as error:
            damaged.append((checkpoint, str(error)))
    shown = "; ".join(f"{checkpoint.path.name} ({reason})" for checkpoint, reason in damaged)
    raise UserError(
        f"All checkpoints in {training_folder(workdir)} are damaged: {shown}; put a copy of one there, or remove the "
        "folder to train from the beginning."
    )


def _read_whole(checkpoint: RunCheckpoint) -> WholeCheckpoint:
    progress, digests = read_own_progress(checkpoint)
    arrays = {
        file: read_arrays(checkpoint.path / file, digest_of(digests, file))
        for file in (WEIGHTS, OPTIMIZER, RANDOM_STATES)
    }
    return WholeCheckpoint(checkpoint, arrays, progress)


def read_digests(checkpoint: RunCheckpoint) -> dict[str, str]:
    """Returns the digests of a checkpoint's files; {} if it is from an earlier version."""
    if checkpoint.path.parent.name == best_folder("").name:
        return read_best(checkpoint)[1]
    return read_own_progress(checkpoint)[1]


def read_best(best: RunCheckpoint) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the contents of the best checkpoint's metrics.json, and the digests by file name."""
    stored, digests = read_sealed(best.path / METRICS, ("step", "metrics", "run"))
    _require_own(best, stored.get("run"))
    return stored, digests


def read_own_progress(checkpoint: RunCheckpoint) -> tuple[Progress, dict[str, str]]:
    """Returns the progress of a checkpoint, and the digests by file name."""
    progress, digests = read_sealed_progress(checkpoint.path / PROGRESS)
    require_step(progress, checkpoint.step)
    _require_own(checkpoint, progress.run)
    return progress, digests


def _require_own(checkpoint: RunCheckpoint, identity: object) -> None:
    if is_of_another_run(checkpoint, identity):
        raise DamageError("it is of another run")
