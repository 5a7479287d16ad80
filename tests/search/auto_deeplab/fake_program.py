"""A program whose state depends on every batch and every step, and its batches, for tests of what is around them."""

import itertools
import types

import keras
import numpy as np

NUM_EDGES, NUM_LAYERS = 5, 2  # 2 blocks


class FakeProgram:
    """Keeps sums of what it is given; a step of alphas favours `favourite` (an operator's column) ever more."""

    def __init__(self, num_classes: int, favourite: int = 0, bad_step: int | None = None):
        self.num_classes = num_classes
        self.favourite = favourite
        self.bad_step = bad_step
        self.weight_batches: list[float] = []
        self.architecture_batches: list[float] = []
        self.rates: list[float] = []

    def initial_state(self):
        state = {
            "weights": np.zeros(3, "float32"),
            "architecture": {
                "alphas": np.zeros((NUM_EDGES, 8), "float32"),
                "betas": np.zeros((NUM_LAYERS, 4, 3), "float32"),
            },
        }
        return keras.tree.map_structure(keras.ops.convert_to_tensor, state)

    def train_weights(self, state, images, labels, rate, mixtures=None):
        mean = float(images.mean())
        self.weight_batches.append(mean)
        self.rates.append(rate)
        weights = 0.9 * state["weights"] + rate * mean
        loss = np.nan if len(self.rates) == self.bad_step else mean / 255.0
        return {**state, "weights": weights}, keras.ops.convert_to_tensor(np.float32(loss))

    def train_architecture(self, state, images, labels, step):
        mean = float(images.mean())
        self.architecture_batches.append(mean)
        architecture = state["architecture"]
        direction = np.eye(8, dtype="float32")[self.favourite] * mean / 255.0 / (step + 1)
        alphas = architecture["alphas"] + direction + 1e-6 * state["weights"][0]
        betas = architecture["betas"] + np.float32(1e-3 * mean)
        return {**state, "architecture": {"alphas": alphas, "betas": betas}}, keras.ops.sum(alphas)

    def confusion(self, state, images, labels, mixtures=None):
        """All pixels are predicted as class 0."""
        counts = np.zeros((self.num_classes, self.num_classes), np.int64)
        counts[:, 0] = [(labels == label).sum() for label in range(self.num_classes)]
        return counts


class FakeStreams:
    """Batches of one grey each, another one at each step; half A is darker than half B. Four pixels are evaluated."""

    dataset = types.SimpleNamespace(info=types.SimpleNamespace(num_classes=3, ignore_label=255))

    def weights(self, start_step):
        return (_batch(step) for step in itertools.count(start_step))

    def architecture(self, start_step):
        return (_batch(100 + step) for step in itertools.count(start_step))

    def held_out(self):
        return list(self.evaluation())

    def evaluation(self):
        images = np.zeros((2, 1, 2, 3), "float32")
        yield images, np.array([[[0, 1]], [[2, 0]]], np.int32)
        yield images, np.full((2, 1, 2), 255, np.int32)


def _batch(grey):
    return np.full((2, 3, 3, 3), grey, "float32"), np.zeros((2, 3, 3), np.int32)
