"""The callback between the steps of a training: rows, checkpoints, evaluations; stops for signals and divergence."""

import datetime
import math
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras

from deeplab_dpc.checkpoint.names import named_arrays
from deeplab_dpc.checkpoint.run import save_checkpoint
from deeplab_dpc.checkpoint.run_best import best_metrics, save_best
from deeplab_dpc.checkpoint.run_state import Progress
from deeplab_dpc.config import TrainConfig
from deeplab_dpc.config.train import step_before_fall
from deeplab_dpc.console import console
from deeplab_dpc.errors import Stopped, UserError
from deeplab_dpc.training.curves import write_metrics, write_panels
from deeplab_dpc.training.early_end import SCORE, TimeLimit, early_ending, last_step
from deeplab_dpc.training.hooks import Hooks
from deeplab_dpc.training.interruption import Interruption
from deeplab_dpc.training.summaries import Summaries

OnDivergence = Callable[[int, dict[str, float]], UserError]


class Recorder(keras.callbacks.Callback):
    """A callback that writes the files of a run, and stops it for signals, divergence, exhausted patience, and to
    shorten it.

    Args:
      workdir: the run directory.
      config: training configuration.
      progress: state of the training, which is extended.
      is_chief: bool, whether this process writes.
      hooks: the evaluation, and the function called after each step; its callbacks are not called here.
      on_divergence: function called with (step, values by name) if the loss or gradient of a step is not finite, which
        returns the error to raise.
      interruption: record of received signals.
      images: number of images of the training split, which make an epoch.
      limit: time limit, which is checked at each row; None for none.

    Attributes:
      is_stopped_by_callback: bool, whether another callback stopped the training, which is then saved.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        config: TrainConfig,
        progress: Progress,
        is_chief: bool,
        hooks: Hooks,
        on_divergence: OnDivergence,
        interruption: Interruption,
        images: int = 0,
        limit: TimeLimit | None = None,
    ):
        super().__init__()
        self._steps_per_epoch = images / config.train_batch_size
        self.workdir = workdir
        self.config = config
        self.progress = progress
        self.is_chief = is_chief
        self.hooks = hooks
        self.on_divergence = on_divergence
        self.interruption = interruption
        self.limit = limit
        self._summaries = Summaries(workdir / "summaries", progress.step) if is_chief else None
        self._ending = early_ending(config, progress)
        self._total = last_step(config, progress)
        self._pace = Pace()
        self._ends_early = False
        self._evaluation_seconds = 0.0  # of the latest evaluation
        self.is_stopped_by_callback = False

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        progress, total = self.progress, self._total
        progress.step += 1
        step = progress.step
        values = {name: float(value) for name, value in logs.items()}
        # Under float16 the loss scale finds its range by gradients that overflow.
        watched = ["loss"] if self.config.precision == "float16" else ["loss", "gradient_norm"]
        if not all(math.isfinite(values[name]) for name in watched):
            _ = self.model  # On JAX its variables are empty within fit until a callback asks for the model.
            raise self.on_divergence(step, values)
        if self.hooks.on_step is not None:
            self.hooks.on_step(step, values["loss"])
        self._pace.step()
        received = self.interruption.after(step)
        last = step == total or received is not None
        if last or step % self.config.log_steps == 0:
            self._add_row(step, values)
        self._pace.started()
        if self.hooks.validator is not None and self._is_due(step):
            self._validate_or_save(step)
            self._ends_early = self._is_out_of_patience()
        if not last and self._is_out_of_time():
            self._ends_early = True
        self._mark_fall()
        if last or step == progress.before_fall or step % self.config.save_interval_steps == 0 or self._ends_early:
            self._save()
        if received is not None and step != total:
            raise Stopped(received, f"step {step} is saved")
        if self._ends_early:
            self.model.stop_training = True  # the trainer continues with the falling learning rate

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.model.stop_training and not self._ends_early and self.progress.step != self._total:
            self._save()
            self.is_stopped_by_callback = True
            console.print(f"A callback stopped the training at step {self.progress.step}, which is saved.")
        if self._summaries is not None:
            self._summaries.close()

    @property
    def _interval(self) -> int:
        """Returns the number of steps between two evaluations; 0 for none."""
        interval = self.config.eval_interval_steps
        return max(self.config.planned_steps // 10, 1) if interval is None else interval

    def _is_due(self, step: int) -> bool:
        return self._interval > 0 and (step % self._interval == 0 or step == self._total)

    def _seconds_of_evaluations(self) -> float:
        """Returns the expected seconds of the remaining evaluations, each assumed to take as long as the latest."""
        if self.hooks.validator is None or not self._interval:
            return 0.0
        still = -(-self._total // self._interval) - self.progress.step // self._interval
        return still * self._evaluation_seconds

    def _is_out_of_patience(self) -> bool:
        """Returns whether the evaluations so far end the training early, which was not known when it was started."""
        return self._ending is None and early_ending(self.config, self.progress) is not None

    def _is_out_of_time(self) -> bool:
        """Shortens the training if its steps take longer than the time limit allows; returns whether it did.

        A training whose learning rate falls already, because the patience is exhausted, is not shortened.
        """
        step, ending = self.progress.step, self._ending
        falls = ending is not None and self.progress.shortened is None and step >= ending.start
        if self.limit is None or falls or self._ends_early or step % self.config.log_steps:
            return False
        end = self.limit.shorter_end(step, self._total, self._seconds_of_evaluations())
        if end is not None:
            is_free = self.config.early_end_step == 0
            self.progress.shorten(end, None if is_free else max(step, step_before_fall(end)))
        return end is not None

    def _mark_fall(self) -> None:
        """Marks the step from which the learning rate falls to an early_end_step: its checkpoint is kept for forks."""
        ending = early_ending(self.config, self.progress) if self.config.early_end_step else None
        if ending is not None and self.progress.step == ending.start:
            self.progress.before_fall = self.progress.step

    def _add_row(self, step: int, values: Mapping[str, float]) -> None:
        seconds = self._pace.read()
        row = {
            "step": step,
            **({"epoch": round(step / self._steps_per_epoch, 3)} if self._steps_per_epoch else {}),
            **values,
            "learning_rate": float(self.model.optimizer.learning_rate),
            "seconds_per_step": round(seconds, 4),
            "images_per_second": round(self.config.train_batch_size / seconds, 3),
        }
        self.progress.rows.append(row)
        if step != self._total:
            # The next row and the progress bar show the mean since this one.
            self.model.reset_metrics()
        if self._summaries is None:
            return
        self._summaries.scalars(step, {f"train/{name}": value for name, value in row.items() if name != "step"})
        if not console.is_interactive:  # where a StepBar shows the same
            total = self._total
            left = datetime.timedelta(seconds=round((total - step) * seconds))
            epoch = f"  epoch {row['epoch']:.1f}" if "epoch" in row else ""
            decay = row.get("weight_decay", 0.0)
            plain = f" ({row['loss'] - decay:.4f} without weight decay)" if decay else ""
            console.print(
                f"step {step}/{total}{epoch}  loss {row['loss']:.4f}{plain}  gradient norm {row['gradient_norm']:.3f}  "
                f"rate {row['learning_rate']:.3g}  {seconds:.3f} s/step  "
                f"{row['images_per_second']:.2f} images/s  left {left}"
            )

    def _validate_or_save(self, step: int) -> None:
        """Evaluates the network; if that fails, saves the step first, so that the same command continues from there."""
        try:
            self._validate(step)
        except Exception as error:
            self._save()
            if not isinstance(error, UserError):
                raise
            after = "The same command continues after it; --eval_interval_steps=0 trains without evaluations."
            if step == self._total:
                after = "It is the last step: the command eval evaluates it."
            raise UserError(
                f"Step {step} is saved, but its evaluation on --eval_split={self.config.eval_split} failed: "
                f"{error} {after}"
            ) from error

    def _validate(self, step: int) -> None:
        start = time.monotonic()
        arrays = named_arrays(self.model.network)
        if self.is_chief and self.hooks.validator is not None and self._summaries is not None:
            validation = self.hooks.validator(arrays)
            remark = {"remark": validation.remark} if validation.remark else {}
            self.progress.validations.append({"step": step, **validation.scalars, **remark})
            best = best_metrics(self.workdir, self.progress.validations).get(SCORE, -math.inf)
            is_best = validation.scalars[SCORE] > best
            if is_best:
                save_best(self.workdir, self.model.network, step, validation.scalars)
            self._summaries.scalars(step, {f"{self.config.eval_split}/{n}": v for n, v in validation.scalars.items()})
            self._summaries.images(step, f"{self.config.eval_split}/predictions", validation.panels)
            write_panels(self.workdir, step, validation.panels)
            note = ", the best so far" if is_best else ""
            shown = f"{validation.scalars[SCORE]:.4f}" + (f" ({validation.remark})" if validation.remark else "")
            console.print(f"step {step}: mIOU {shown} on {self.config.eval_split}{note}")
        self._evaluation_seconds = time.monotonic() - start
        self._pace.leave_out(self._evaluation_seconds)
        if self.limit is not None:
            self.limit.leave_out(self._evaluation_seconds)

    def _save(self) -> None:
        if self.is_chief:
            save_checkpoint(self.workdir, self.model.network, self.model.optimizer, self.progress)
            write_metrics(self.workdir, self.progress.rows, self.progress.validations)


class Pace:
    """A meter of the seconds per step since the last reading.

    The first step of a process, which traces and compiles, counts only if it is the only one.
    """

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._steps = 0
        self._is_first = True

    def step(self) -> None:
        """Counts a step that has ended."""
        self._steps += 1

    def leave_out(self, seconds: float) -> None:
        """Excludes seconds that do not belong to a step."""
        self._since += seconds

    def seconds_per_step(self) -> float:
        """Returns the mean seconds per step since the last reading."""
        return max(time.monotonic() - self._since, 1e-9) / max(self._steps, 1)

    def read(self) -> float:
        """Returns the seconds per step and starts the next reading."""
        seconds = self.seconds_per_step()
        self._restart()
        return seconds

    def started(self) -> None:
        """Restarts the measurement after the first step, if further steps follow before the next reading."""
        if self._is_first:
            self._restart()

    def _restart(self) -> None:
        self._since, self._steps, self._is_first = time.monotonic(), 0, False
