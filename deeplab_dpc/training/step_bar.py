"""The progress bar of a training in a terminal; a log has the recorder's lines instead."""

from typing import Any, Self

import keras

from deeplab_dpc.checkpoint.run_state import Progress
from deeplab_dpc.config import TrainConfig
from deeplab_dpc.console import progress_bar
from deeplab_dpc.training.patience import early_ending, last_step
from deeplab_dpc.training.schedules import build_schedule

RATE_INTERVAL = 10  # steps between two readings of the learning rate


class StepBar(keras.callbacks.Callback):
    """A progress bar with step, time left, epoch, loss and learning rate; to be entered as a context.

    The time left is estimated from the mean of the last steps, including evaluations, but without the first step, which
    compiles.

    Args:
      config: training configuration.
      progress: state of the training.
      images: number of images of the training split, which make an epoch; 0 to show no epoch.
    """

    def __init__(self, config: TrainConfig, progress: Progress, images: int):
        super().__init__()
        self._steps_per_epoch = images / config.train_batch_size
        # Not the optimizer's rate: with several processes, all of them would have to read its variables.
        self._schedule = build_schedule(config, early_ending(config, progress))
        self._step, self._rate = progress.step, float(self._schedule(progress.step))
        self._bar = progress_bar()
        self._task = self._bar.add_task("Training", total=last_step(config, progress), completed=self._step, note="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        self._step += 1
        if self._step % RATE_INTERVAL == 0:
            self._rate = float(self._schedule(self._step))
        epoch = f"epoch {self._step / self._steps_per_epoch:.1f}  " if self._steps_per_epoch else ""
        note = f"{epoch}loss {float(logs['loss']):.4f}  rate {self._rate:.3g}"
        self._bar.update(self._task, completed=self._step, note=note)
