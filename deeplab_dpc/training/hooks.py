"""The functions and callbacks that a caller of the trainer may have called during a training."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

import keras
import numpy as np


class Validation(Protocol):
    """The result of an evaluation: scalars by name, a remark on them, and pictures uint8 [number, height, width, 3]."""

    @property
    def scalars(self) -> dict[str, float]: ...

    @property
    def remark(self) -> str: ...

    @property
    def panels(self) -> np.ndarray: ...


Validator = Callable[[dict[str, np.ndarray]], Validation]
# A function called with (number of steps done, mean loss since the last row); may raise an error to end the training.
OnStep = Callable[[int, float], None]


@dataclasses.dataclass(frozen=True)
class Hooks:
    """Functions and callbacks that are called during a training.

    Attributes:
      validator: function called with the variables by published name every `eval_interval_steps`, which evaluates them;
        None for no evaluation.
      on_step: function called with (step, loss) after each step, before anything of the step is saved; if it is given,
        no progress bar is shown. An error that it raises ends the training, which continues from its last checkpoint
        when it is started again.
      callbacks: Keras callbacks, called after the run directory has recorded a step; their model is a TrainingModel,
        whose `network` is trained. An epoch ends for them with each evaluation (see EvaluationEpochs), and one that
        sets `stop_training` ends the training once the step is saved.
    """

    validator: Validator | None = None
    on_step: OnStep | None = None
    callbacks: Sequence[keras.callbacks.Callback] = ()


NO_HOOKS = Hooks()
