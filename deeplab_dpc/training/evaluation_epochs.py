"""Epochs for the Keras callbacks of a training by steps: from one evaluation to the next."""

from collections.abc import Sequence
from typing import Any

import keras

from deeplab_dpc.checkpoint.run_state import Progress


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
