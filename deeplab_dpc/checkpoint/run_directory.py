"""The checkpoints in a run directory.

WORKDIR/checkpoints/step_00000400           checkpoints to continue from, of which the last two are kept
WORKDIR/checkpoints/damaged_step_00000400   a damaged checkpoint that was set aside
WORKDIR/best/step_00000200                  the network with the best evaluation
WORKDIR/run_id                              the identity of the run, which its checkpoints contain, too
"""

import contextlib
import dataclasses
import itertools
import pathlib
import re
import shutil
import uuid
from collections.abc import Iterable

from deeplab_dpc.errors import UserError
from deeplab_dpc.files import atomic_path

LATEST, BEST = "latest", "best"
IDENTITY_FILE = "run_id"  # in the run directory


@dataclasses.dataclass(frozen=True)
class RunCheckpoint:
    """A finished checkpoint of a run: its directory and step."""

    path: pathlib.Path
    step: int


def training_folder(workdir: str | pathlib.Path) -> pathlib.Path:
    """Returns the folder of the checkpoints from which a training continues."""
    return pathlib.Path(workdir) / "checkpoints"


def best_folder(workdir: str | pathlib.Path) -> pathlib.Path:
    """Returns the folder of the checkpoint of the best evaluation."""
    return pathlib.Path(workdir) / "best"


def run_identity(workdir: str | pathlib.Path) -> str:
    """Returns the identity of a run: random text that is written with the first checkpoint and never changes."""
    path = pathlib.Path(workdir) / IDENTITY_FILE
    if not path.exists():
        with atomic_path(path) as partial:
            partial.write_text(uuid.uuid4().hex + "\n", encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()


def is_of_another_run(checkpoint: RunCheckpoint, identity: object) -> bool:
    """Returns whether a checkpoint with this identity is in the directory of another run.

    The result is False for a checkpoint or a directory from an earlier version, which has no identity.
    """
    path = checkpoint.path.parents[1] / IDENTITY_FILE
    return identity is not None and path.exists() and path.read_text(encoding="utf-8").strip() != identity


def checkpoint_name(step: int) -> str:
    """Returns the name of the directory of a checkpoint."""
    return f"step_{step:08d}"


def checkpoints_in(folder: pathlib.Path) -> list[RunCheckpoint]:
    """Returns the checkpoints in a folder (`training_folder` or `best_folder`), oldest first."""
    found = [
        RunCheckpoint(path, int(path.name.removeprefix("step_")))
        for path in folder.glob("step_*")
        if re.fullmatch(r"step_\d+", path.name)
    ]
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def list_checkpoints(workdir: str | pathlib.Path) -> list[RunCheckpoint]:
    """Returns the checkpoints from which a training can continue, oldest first."""
    return checkpoints_in(training_folder(workdir))


def best_checkpoint(workdir: str | pathlib.Path) -> RunCheckpoint | None:
    """Returns the checkpoint of the best evaluation; None before the first evaluation."""
    # If the process is killed while one is replaced, there are two, and the later one is better.
    return max(checkpoints_in(best_folder(workdir)), key=lambda checkpoint: checkpoint.step, default=None)


def latest_checkpoint(workdir: str | pathlib.Path) -> RunCheckpoint:
    """Returns the newest checkpoint.

    Raises:
      UserError: if the run has no checkpoint yet.
    """
    return find_checkpoint(workdir, LATEST)


def find_checkpoint(workdir: str | pathlib.Path, which: str) -> RunCheckpoint:
    """Returns the checkpoint of a run that a user requests.

    Args:
      workdir: the run directory.
      which: 'latest', 'best', or a step.

    Raises:
      UserError: if there is no such checkpoint; the message names the existing ones.
    """
    steps, best = list_checkpoints(workdir), best_checkpoint(workdir)
    if not steps and best is None:
        raise UserError(f"{workdir} has no checkpoint yet; train it first (deeplab-dpc train --workdir={workdir} ...).")
    if which == LATEST:
        found = steps[-1:]
    elif which == BEST:
        found = [best] if best else []
    elif which.isdecimal():
        found = [item for item in (*steps, best) if item is not None and item.step == int(which)]
    else:
        raise UserError(f"--run_checkpoint must be {LATEST}, {BEST} or a step, got {which}; {_held(steps, best)}.")
    if not found:
        raise UserError(f"{workdir} has no checkpoint for --run_checkpoint={which}; {_held(steps, best)}.")
    return found[0]


def _held(steps: list[RunCheckpoint], best: RunCheckpoint | None) -> str:
    held = (
        [f"{'step' if len(steps) == 1 else 'steps'} {' and '.join(str(item.step) for item in steps)}"] if steps else []
    )
    held += [f"the best of step {best.step}"] if best else []
    return f"it holds {', and '.join(held)}"


def remove_checkpoints(checkpoints: Iterable[RunCheckpoint]) -> None:
    """Removes the checkpoints, each atomically."""
    for old in checkpoints:
        # Renamed first, so that a killed process leaves no incomplete checkpoint.
        doomed = old.path.replace(old.path.with_name(f".{old.path.name}.tmp"))
        shutil.rmtree(doomed)


def set_aside(checkpoint: RunCheckpoint) -> pathlib.Path:
    """Renames a damaged checkpoint, so that it is kept but no longer listed; returns the new path."""
    name = f"damaged_{checkpoint.path.name}"
    names = itertools.chain([name], (f"{name}_{i}" for i in itertools.count(2)))
    aside = next(path for path in map(checkpoint.path.with_name, names) if not path.exists())
    # Another process of the same training may already have renamed it.
    with contextlib.suppress(FileNotFoundError):
        checkpoint.path.replace(aside)
    return aside
