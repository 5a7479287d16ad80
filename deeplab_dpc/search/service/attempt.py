"""An attempt at a task, as an Optuna trial: its attributes, and functions to read them."""

import contextlib
from collections.abc import Iterator

from optuna.trial import FrozenTrial

from deeplab_dpc.errors import UserError
from deeplab_dpc.search.service.identity import Worker

LOST, RELEASED, SURPLUS = "lost", "released", "surplus"  # why an attempt failed
RETRY = "retry"  # end of a trial that is not an attempt: lost attempts before it no longer count
KEY, WORKER, LEASE, RESULT, END = "key", "worker", "lease", "result", "end"
STEPPED, ERROR = "stepped", "error"  # whether a training step was done; the error that ended the worker


@contextlib.contextmanager
def understood(trial: FrozenTrial) -> Iterator[None]:
    """Turns errors in reading a trial within the context into a UserError.

    Raises:
      UserError: if the trial lacks an attribute, or has one of another type.
    """
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        said = " ".join(str(error).split()).rstrip(".")
        raise UserError(
            f"Trial {trial.number} of the study is not as searches write them ({type(error).__name__}: {said}); "
            "restore the storage from a copy, give another --study_name, or search in another --workdir."
        ) from error


def key_of(trial: FrozenTrial) -> str:
    """Returns the key of the task.

    Raises:
      UserError: if the trial does not belong to a ledger.
    """
    key = trial.user_attrs.get(KEY)
    if not isinstance(key, str):
        raise UserError(
            f"Trial {trial.number} of the study was made by something else, or by another version; give another "
            "--study_name, or search in another --workdir."
        )
    return key


def worker_of(trial: FrozenTrial) -> Worker:
    """Returns the worker that made the attempt.

    Raises:
      UserError: if the trial does not name it.
    """
    with understood(trial):
        return Worker.from_json(trial.user_attrs[WORKER])
