"""Evaluates the checkpoints of a run as its training writes them (deeplab-dpc eval --max_number_of_evaluations)."""

import contextlib
import itertools
import pathlib
import signal
import time
import types
from collections.abc import Callable, Iterator

import keras

from deeplab_dpc.api.loaded import section_of_training
from deeplab_dpc.checkpoint.run import newest_progress
from deeplab_dpc.checkpoint.run_directory import LATEST, list_checkpoints
from deeplab_dpc.cli.flags.eval import Flags
from deeplab_dpc.config import TrainConfig
from deeplab_dpc.console import console
from deeplab_dpc.errors import Stopped, UserError
from deeplab_dpc.evaluation.report import HISTORY_FILE, Report, append_history
from deeplab_dpc.evaluation.stored import evaluation_folder
from deeplab_dpc.files import remove_partial
from deeplab_dpc.locks import only_process
from deeplab_dpc.training.early_end import last_step

NONE = -1  # the step before any checkpoint


def evaluate_repeatedly(flags: Flags, evaluate_once: Callable[[], Report]) -> None:
    """Evaluates the newest checkpoint, waits for a newer one, and so on.

    It ends after --max_number_of_evaluations, if that is greater than 0, or at the training's last step.

    Args:
      flags: flags of deeplab-dpc eval.
      evaluate_once: function that evaluates the newest checkpoint and writes the results.

    Raises:
      UserError: if the flags name no training, or a single checkpoint.
      Stopped: for SIGTERM and Ctrl-C.
    """
    source = flags.predictor.source
    if source.workdir is None or source.run_checkpoint != LATEST:
        raise UserError(
            f"--max_number_of_evaluations={flags.max_number_of_evaluations} evaluates the checkpoints of a training as "
            "they are written: give --workdir, and no --run_checkpoint."
        )
    if flags.eval_interval_secs < 1:
        raise UserError(f"--eval_interval_secs must be at least 1, got {flags.eval_interval_secs}.")
    workdir = pathlib.Path(source.workdir)
    folder = evaluation_folder(flags.eval_logdir or workdir, flags.split)
    protocol = section_of_training(workdir, "train", TrainConfig)
    limit = flags.max_number_of_evaluations
    evaluated = NONE
    with _stopping(f"what was evaluated is in {folder / HISTORY_FILE}"), only_process(folder, "eval_logdir"):
        remove_partial(folder)
        for _ in range(limit) if limit > 0 else itertools.count():
            _wait_for_newer(workdir, evaluated, flags.eval_interval_secs)
            keras.utils.clear_session()
            report = evaluate_once()
            append_history(folder, report)
            evaluated = NONE if report.step is None else report.step
            if evaluated >= _last_step(workdir, protocol):
                console.print(f"The training is complete: step {evaluated} is its last.")
                return


def _wait_for_newer(workdir: pathlib.Path, step: int, interval_secs: int) -> None:
    """Waits until the run has a checkpoint after `step`."""
    said = False
    while all(checkpoint.step <= step for checkpoint in list_checkpoints(workdir)):
        if not said:
            console.print(f"Waiting for a checkpoint after step {max(step, 0)} in {workdir}, every {interval_secs} s.")
            said = True
        time.sleep(interval_secs)


def _last_step(workdir: pathlib.Path, protocol: TrainConfig) -> int:
    """Returns the step at which the training ends, according to its newest checkpoint."""
    return last_step(protocol, newest_progress(workdir))


@contextlib.contextmanager
def _stopping(what: str) -> Iterator[None]:
    """Makes SIGTERM and Ctrl-C raise Stopped, with the message `what`, at any point in the block."""

    def stop(number: int, frame: types.FrameType | None) -> None:
        raise Stopped(signal.Signals(number), what)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
