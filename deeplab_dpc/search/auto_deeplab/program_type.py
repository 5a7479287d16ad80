"""The interface of the compiled supernet."""

from typing import Any, Protocol

import numpy as np

State = dict[str, Any]  # nested dictionaries of tensors
Mixtures = dict[str, Any]  # probabilities in place of the softmax: alphas [edges, 8], betas [L, 4, 3]


class Program(Protocol):
    """The steps and the evaluation of a search, as functions of a state (`search_program.SearchProgram`).

    Images are float32 [batch, height, width, 3] in 0..255, labels int32 [batch, height, width]; a loss is a scalar on
    the device.
    """

    def initial_state(self) -> State:
        """Returns the state before the first step, the same on every backend."""
        ...

    def train_weights(
        self, state: State, images: np.ndarray, labels: np.ndarray, rate: float, mixtures: Mixtures | None = None
    ) -> tuple[State, Any]:
        """Returns the state after a weight step, and the loss before it."""
        ...

    def train_architecture(self, state: State, images: np.ndarray, labels: np.ndarray, step: int) -> tuple[State, Any]:
        """Returns the state after architecture step `step`, from 0 on, and the loss before it."""
        ...

    def confusion(
        self, state: State, images: np.ndarray, labels: np.ndarray, mixtures: Mixtures | None = None
    ) -> np.ndarray:
        """Returns the number of pixels by label and prediction, int64 [classes, classes], with moving statistics."""
        ...
