"""The search by gradient: weights on half A, alphas and betas on half B, in turn (arXiv:1901.02985, Sec. 4.2).

A search continues from its run directory, which has config.json, checkpoints/, metrics.csv, the report, and
genotype.json at the end.
"""

import math
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from deeplab_dpc.checkpoint.run_directory import training_folder
from deeplab_dpc.console import console, progress_bar
from deeplab_dpc.errors import Stopped, UserError
from deeplab_dpc.evaluation.confusion import ConfusionMatrix
from deeplab_dpc.files import remove_partial
from deeplab_dpc.search.auto_deeplab import epoch_records
from deeplab_dpc.search.auto_deeplab.checkpoints import EpochSums, Standing, restore, save
from deeplab_dpc.search.auto_deeplab.plan import Plan
from deeplab_dpc.search.auto_deeplab.search_program import SearchProgram
from deeplab_dpc.search.auto_deeplab.streams import Batch, Streams
from deeplab_dpc.training.interruption import Interruption

LOSS_INTERVAL = 20  # steps whose losses are read together; reading one waits for the device

# Function called with the number of steps done; may raise an error to end the search.
OnStep = Callable[[int], None]


class GradientSearch:
    """A search that continues from its newest checkpoint.

    Args:
      workdir: run directory of the search.
      program: compiled steps.
      streams: batches of images.
      plan: schedule of the steps.
      on_step: function called after each step, before anything of it is saved. An error that it raises ends the search,
        which continues from its last checkpoint when it is started again.

    Attributes:
      standing: progress of the search.

    Raises:
      UserError: if all existing checkpoints are damaged, or the newest undamaged one does not fit.
    """

    def __init__(
        self, workdir: pathlib.Path, program: SearchProgram, streams: Streams, plan: Plan, on_step: OnStep | None = None
    ):
        self._workdir = workdir
        self._program = program
        self._streams = streams
        self._plan = plan
        self._on_step = on_step
        remove_partial(training_folder(workdir))
        self.standing = restore(workdir, program.initial_state())
        self._unread: list[tuple[list[float], Any]] = []  # lists for the values of losses, and losses on the device
        self._since = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Returns whether all epochs are done, or the search has stopped early."""
        history = self.standing.history
        return len(history) == self._plan.config.search_epochs or bool(history and history[-1]["stopped"])

    def run(self) -> Standing:
        """Runs the search until it is over, and returns its progress.

        Raises:
          UserError: if a loss is not finite, or a record is damaged.
          Stopped: if a signal asked to stop; the step is then saved.
        """
        standing, plan = self.standing, self._plan
        if standing.step:
            console.print(f"Searching in {self._workdir} from step {standing.step} of {plan.num_steps}.")
        weights = self._streams.weights(standing.step)
        architecture = self._streams.architecture(plan.architecture_steps_before(standing.step))
        with Interruption() as interruption, progress_bar() as bar:
            task = bar.add_task("search", total=plan.num_steps, completed=standing.step, note="")
            self._since = time.monotonic()
            while not self.is_over:
                if standing.step == (len(standing.history) + 1) * plan.steps_per_epoch:
                    bar.update(task, note="evaluating")
                    self._end_epoch()
                else:
                    self._step(weights, architecture)
                    bar.update(task, advance=1, note=f"epoch {len(standing.history) + 1}")
                    if standing.step % plan.config.search_save_interval_steps == 0:
                        self._save()
                if interruption.received is not None and not self.is_over:
                    self._save()
                    raise Stopped(interruption.received, f"step {standing.step} is saved")
            bar.update(task, note="")
        return standing

    def _step(self, weights: Iterator[Batch], architecture: Iterator[Batch]) -> None:
        """Runs one weight step, and one architecture step if it is due."""
        standing, plan, losses = self.standing, self._plan, self.standing.epoch
        step = standing.step
        images, labels = next(weights)
        state, loss = self._program.train_weights(standing.state, images, labels, plan.weight_rate(step))
        self._unread.append((losses.weight_losses, loss))
        if plan.trains_architecture(step):
            images, labels = next(architecture)
            position = plan.architecture_steps_before(step)
            state, loss = self._program.train_architecture(state, images, labels, position)
            self._unread.append((losses.architecture_losses, loss))
        standing.state, standing.step = state, step + 1
        if standing.step % LOSS_INTERVAL == 0:
            self._read_losses()
        if self._on_step is not None:
            self._on_step(standing.step)

    def _read_losses(self) -> None:
        losses, steps_before = self.standing.epoch, len(self.standing.history) * self._plan.steps_per_epoch
        for values, loss in self._unread:
            values.append(float(loss))
            if not math.isfinite(values[-1]):
                whose = "of the weights" if values is losses.weight_losses else "of alphas and betas"
                raise UserError(
                    f"The loss {whose} is {values[-1]} in step {steps_before + len(values)}: search with a lower "
                    "--weight_learning_rate in another --workdir."
                )
        self._unread = []
        now = time.monotonic()
        losses.seconds += now - self._since
        self._since = now

    def _save(self) -> None:
        self._read_losses()
        save(self._workdir, self.standing)

    def _end_epoch(self) -> None:
        """Evaluates the supernet, adds a row to the history, and saves."""
        confusion = self._evaluate()
        self._read_losses()
        standing = self.standing
        row = epoch_records.epoch_row(self._plan, standing, confusion)
        standing.history.append(row)
        standing.epoch = EpochSums()
        console.print(epoch_records.line(row, self._plan))
        save(self._workdir, standing)
        epoch_records.write(self._workdir, self._plan.config, standing)

    def _evaluate(self) -> ConfusionMatrix:
        info = self._streams.dataset.info
        confusion = ConfusionMatrix(info.num_classes, info.ignore_label)
        for images, labels in self._streams.evaluation():
            confusion.matrix += np.asarray(self._program.confusion(self.standing.state, images, labels))
        return confusion
