"""The checkpoint of a run's best evaluation, stored with the metrics of that evaluation.

A damaged one is repaired, or set aside.
"""

import contextlib
import pathlib
from collections.abc import Sequence
from typing import Any

from deeplab_dpc.checkpoint.names import named_variables
from deeplab_dpc.checkpoint.run_directory import (
    RunCheckpoint,
    best_checkpoint,
    best_folder,
    checkpoint_name,
    checkpoints_in,
    remove_checkpoints,
    run_identity,
    set_aside,
)
from deeplab_dpc.checkpoint.run_reading import METRICS, read_best, read_digests
from deeplab_dpc.checkpoint.run_state import (
    WEIGHTS,
    DamageError,
    read_arrays,
    stored_size,
    write_arrays,
    write_sealed,
)
from deeplab_dpc.console import console
from deeplab_dpc.files import atomic_path, require_space
from deeplab_dpc.models.segmenter import Segmenter


def save_best(workdir: pathlib.Path, network: Segmenter, step: int, metrics: dict[str, float]) -> None:
    """Writes the network as the best checkpoint, and removes the previous one.

    Args:
      workdir: run directory.
      network: network with the weights to save.
      step: number of training steps of these weights.
      metrics: metrics of their evaluation by name.

    Raises:
      UserError: if the disk has not enough space.
    """
    folder = best_folder(workdir)
    variables = named_variables(network)
    require_space(folder, stored_size(variables.values()))
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


def mend_best(workdir: str | pathlib.Path, validations: Sequence[dict[str, Any]]) -> None:
    """Sets the best checkpoint aside if its weights are damaged; its metrics are restored as in best_metrics."""
    best = best_checkpoint(workdir)
    if best is None:
        return
    digest = None
    with contextlib.suppress(DamageError):  # damaged metrics are handled below
        digest = read_digests(best).get(WEIGHTS)
    try:
        read_arrays(best.path / WEIGHTS, digest)
    except DamageError as error:
        kept = f"it is kept as {set_aside(best).name}"
        console.print(f"{best.path} is damaged ({error}); {kept}, and there is no best until the next evaluation.")
        return
    best_metrics(workdir, validations)


def _stored_metrics(best: RunCheckpoint) -> dict[str, float]:
    stored, _ = read_best(best)
    metrics = stored.get("metrics")
    if stored.get("step") != best.step or not isinstance(metrics, dict):
        raise DamageError(f"{METRICS} does not hold the metrics of step {best.step}")
    if not all(isinstance(value, (int, float)) for value in metrics.values()):
        raise DamageError(f"{METRICS} holds a metric that is not a number")
    return metrics
