"""The callbacks of a training besides the recorder: the progress bar in a terminal (a log has the recorder's lines
instead), and the epochs for Keras callbacks, from one evaluation to the next.
"""

from collections.abc import Sequence
from typing import Any, Self

import keras

from deeplab_dpc.checkpoint.run_state import Progress
from deeplab_dpc.config import TrainConfig
from deeplab_dpc.console import progress_bar
from deeplab_dpc.training.early_end import early_ending, last_step
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


class EvaluationEpochs(keras.callbacks.Callback):
    """A callback that calls Keras callbacks as `Model.fit` does if each epoch ends with an evaluation.

    Epochs are numbered by the evaluations of the run, also after it was continued. At the end of an epoch, the logs
    have the mean values of the training since they were last reset, and the metrics of the evaluation as `val_NAME`
    (`val_miou`). Without evaluations a training is one epoch.

    Args:
      callbacks: Keras callbacks to call.
      progress: state of the training, which has recorded a step and its evaluation before this callback is called.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback], progress: Progress):
        super().__init__()
        self._callbacks = callbacks
        self._progress = progress
        self._epoch = len(progress.validations)
        self._is_open = False  # whether the epoch has begun

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._list = keras.callbacks.CallbackList(list(self._callbacks), model=self.model, **self.params)
        self._list.on_train_begin(logs)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._is_open:
            self._list.on_epoch_begin(self._epoch)
            self._is_open = True
        self._list.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._list.on_train_batch_end(batch, logs)
        self._last = dict(logs or {})
        validations = self._progress.validations
        if len(validations) > self._epoch:
            others = ("step", "remark")
            self._end({f"val_{name}": value for name, value in validations[-1].items() if name not in others})

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._is_open:
            self._end({})
        self._list.on_train_end(logs)

    def _end(self, metrics: dict[str, Any]) -> None:
        self._list.on_epoch_end(self._epoch, {**self._last, **metrics})
        self._is_open = False
        self._epoch = max(self._epoch + 1, len(self._progress.validations))
