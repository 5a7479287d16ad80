"""The files of a run's checkpoint, with the state of a network and its optimizer, and checks for damage.

    weights.npz        weights of the network by published name, common to all backends
    optimizer.npz      variables of the optimizer by name
    random_states.npz  states of the network's random generators (dropout), in order
    progress.json      step, and rows of metrics.csv and validation.csv; written last, with digests of the other files

The names do not depend on the classes of the network, so that runs remain valid if these change. The digests (SHA-256)
bind the files to their step; checkpoints of earlier versions have none, and are only checked by the checksums (CRC-32)
in their zip archives. progress.json contains its own checksum.
"""

import dataclasses
import hashlib
import math
import os
import pathlib
import zipfile
import zlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import keras
import numpy as np

from deeplab_dpc.checkpoint.names import named_variables
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import CHECK_SUM, has_check_sum, read_json, with_check_sum, write_json

WEIGHTS = "weights.npz"
OPTIMIZER = "optimizer.npz"
RANDOM_STATES = "random_states.npz"
PROGRESS = "progress.json"
FILES = "files"  # key of the digests of the other files, in a file of `write_sealed`
ITERATION = "iteration"  # name in Keras of an optimizer's step counter
LOSS_SCALE = "loss_scale/"  # prefix of the loss scale's variables; those of the inner optimizer have their usual names
FILE_OVERHEAD = 2_000_000  # bytes of a file for names and structure
COUNT_FROM_END = -12  # position of the number of files in a zip archive; zipfile reads as many as it finds

Arrays = Mapping[str, np.ndarray]
Variables = Mapping[str, Any]


@dataclasses.dataclass
class Progress:
    """The progress of a training.

    Attributes:
      step: number of training steps.
      rows: rows of metrics.csv so far.
      validations: rows of validation.csv so far.
      run: identity of the run (run_directory.run_identity); None in checkpoints without one.
      began: step at which the run was forked; 0 if it was not forked.
      shortened: (step from which the learning rate falls, step at which the training now ends), because of its time
        limit; None if it was not shortened.
      before_fall: step of the checkpoint from which forks of a training with an early_end_step start; None before it.
    """

    step: int = 0
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    validations: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    run: str | None = dataclasses.field(default=None, compare=False)
    began: int = 0
    shortened: tuple[int, int] | None = None
    before_fall: int | None = None

    def shorten(self, end: int, start: int | None = None) -> None:
        """Makes `end` the last step; the learning rate falls from `start`, by default this step, unless it falls
        already.
        """
        if self.shortened is not None and self.shortened[0] <= self.step:
            start = self.shortened[0]
        self.shortened = (self.step if start is None else start, end)


class DamageError(Exception):
    """The error for a file of a checkpoint that is absent or was changed; the message names the file and the reason."""


def state_variables(network: keras.Model, optimizer: keras.optimizers.Optimizer) -> dict[str, dict[str, Any]]:
    """Returns the variables that a training needs, by file and name.

    Random generators, which Keras does not count as weights, are identified by their order.
    """
    weights = {id(variable) for variable in network.weights}
    generators = [variable for variable in network.non_trainable_variables if id(variable) not in weights]
    return {
        WEIGHTS: named_variables(network),
        OPTIMIZER: _optimizer_variables(optimizer),
        RANDOM_STATES: {str(i): variable for i, variable in enumerate(generators)},
    }


def _optimizer_variables(optimizer: keras.optimizers.Optimizer) -> dict[str, Any]:
    """Returns the variables by the last part of their paths, without the optimizer's own name, which Keras numbers."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        inner = _optimizer_variables(optimizer.inner_optimizer)
        own = optimizer.variables[: len(optimizer.variables) - len(inner)]
        return inner | {f"{LOSS_SCALE}{variable.name}": variable for variable in own}
    named = {variable.name: variable for variable in optimizer.variables}
    if len(named) < len(optimizer.variables):
        raise ValueError(f"The variables of the optimizer {optimizer.name} must have different names.")
    return named


def write_arrays(path: pathlib.Path, variables: Variables) -> None:
    """Writes the values of variables as a zip archive of arrays."""
    arrays: dict[str, Any] = {name: np.asarray(variable) for name, variable in variables.items()}
    np.savez(path, **arrays)


def stored_size(variables: Iterable[Any]) -> int:
    """Returns the approximate number of bytes of a file that `write_arrays` writes with these variables."""
    size: int = sum(4 * math.prod(variable.shape) for variable in variables) + FILE_OVERHEAD
    return size


def read_arrays(path: pathlib.Path, digest: str | None = None) -> dict[str, np.ndarray]:
    """Returns all arrays of a file that write_arrays wrote.

    Args:
      path: path of the file.
      digest: digest that the file must have; None for a checkpoint from an earlier version, which has none.

    Raises:
      DamageError: if the file is absent, was changed, or belongs to another checkpoint.
    """
    try:
        if digest is not None and file_digest(path) != digest:
            raise DamageError(f"{path.name}: it is not the file that was written then, by its digest")
        with open(path, "rb") as stream, zipfile.ZipFile(stream) as archive:
            # Checked before NumPy reads sizes that may be wrong.
            torn = archive.testzip() if digest is None else None
            stream.seek(COUNT_FROM_END, os.SEEK_END)
            count = int.from_bytes(stream.read(2), "little")
            found = len(archive.namelist())
        if torn is not None:
            raise DamageError(f"{path.name}: {torn} does not have its checksum")
        if count != found:
            raise DamageError(f"{path.name} lists {found} arrays and should have {count}")
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except OSError as error:
        raise DamageError(f"{path.name}: {error.strerror or _first_line(error)}") from error
    # The error of zipfile depends on the damaged byte; RuntimeError if the archive looks encrypted or compressed.
    except (ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DamageError(f"{path.name}: {_first_line(error)}") from error


def file_digest(path: pathlib.Path) -> str:
    """Returns the SHA-256 of a file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_sealed(path: pathlib.Path, value: dict[str, Any]) -> None:
    """Writes JSON with its checksum and the digests of the archives beside it, which must be written before."""
    sealed = value | {FILES: {file.name: file_digest(file) for file in sorted(path.parent.glob("*.npz"))}}
    write_json(path, with_check_sum(sealed))


def read_sealed(path: pathlib.Path, keys: Collection[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the contents of a file of `write_sealed`, and the digests by file name; no digests in earlier versions.

    Args:
      path: path of the file.
      keys: keys that the file may have.

    Raises:
      DamageError: if the file is absent or was changed.
    """
    try:
        stored = read_json(path, "file", finite=False)
    except UserError as error:
        reason = _first_line(error).removeprefix(f"The file {path} ")
        raise DamageError(f"{path.name} {reason}") from error
    if not isinstance(stored, dict) or stored.keys() - {*keys, FILES, CHECK_SUM}:
        raise DamageError(f"{path.name}: it does not hold what was written")
    if (FILES in stored and CHECK_SUM not in stored) or not has_check_sum(stored):
        raise DamageError(f"{path.name} does not have its checksum")
    return stored, stored.pop(FILES, {})


def write_progress(path: pathlib.Path, progress: Progress) -> None:
    """Writes the progress, with a checksum."""
    value = dataclasses.asdict(progress)
    if progress.run is None:
        del value["run"]
    if not progress.began:
        del value["began"]
    if progress.shortened is None:
        del value["shortened"]
    if progress.before_fall is None:
        del value["before_fall"]
    write_sealed(path, value)


def read_progress(path: pathlib.Path) -> Progress:
    """Returns the progress in a file of `write_progress`, also of an earlier version without validations and with rows
    under the key "history".

    Raises:
      DamageError: if the file is absent or was changed.
    """
    return read_sealed_progress(path)[0]


def read_sealed_progress(path: pathlib.Path) -> tuple[Progress, dict[str, str]]:
    """Returns the progress as `read_progress` does, and the digests of the archives beside the file by file name."""
    keys = ("step", "rows", "validations", "history", "run", "began", "shortened", "before_fall")
    stored, digests = read_sealed(path, keys)
    try:
        rows = stored["history"] if "history" in stored else stored["rows"]
        progress = Progress(
            stored["step"], rows, stored.get("validations", []), stored.get("run"), stored.get("began", 0)
        )
    except KeyError as error:
        raise DamageError(f"{path.name}: {_first_line(error)}") from error
    shortened = stored.get("shortened", [0, 0])
    is_pair = isinstance(shortened, list) and len(shortened) == 2
    before_fall = stored.get("before_fall", 0)
    steps = [progress.step, progress.began, before_fall, *(shortened if is_pair else [None])]
    if not all(isinstance(step, int) for step in steps) or not all(
        _are_rows(some) for some in (rows, progress.validations)
    ):
        raise DamageError(f"{path.name}: it does not hold what was written")
    if "shortened" in stored:
        progress.shortened = (shortened[0], shortened[1])
    if "before_fall" in stored:
        progress.before_fall = before_fall
    return progress, digests


def digest_of(digests: dict[str, str], file: str) -> str | None:
    """Returns the digest that a file must have; None in a checkpoint from an earlier version, which has no digests."""
    if digests and file not in digests:
        raise DamageError(f"{file}: it was not written then")
    return digests.get(file)


def require_step(progress: Progress, step: int) -> None:
    """Raises a DamageError if the progress is of another step."""
    if progress.step != step:
        raise DamageError(f"{PROGRESS} is of step {progress.step}")


def _are_rows(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) and "step" in row for row in value)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def misfit(variables: Variables, arrays: Arrays) -> str | None:
    """Returns the first name that is in only one of the two or has different shapes; None if they fit."""
    for name in sorted(variables.keys() | arrays.keys()):
        if name not in variables or name not in arrays or arrays[name].shape != tuple(variables[name].shape):
            return name
    return None


def assign(variables: Variables, arrays: Arrays) -> None:
    """Assigns fitting arrays to the variables."""
    for name, variable in variables.items():
        variable.assign(arrays[name])
