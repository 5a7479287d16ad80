"""The proxy task: training of a cell and logits on cached features, scored by mIOU (arXiv:1809.04184, Sec. 3.3)."""

import dataclasses
import functools
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from keras import ops

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.evaluation.confusion import ConfusionMatrix
from deeplab_dpc.layers import kernels
from deeplab_dpc.models.segmenter import HEAD_BATCH_NORM_DECAY, limited_decay
from deeplab_dpc.search.proxy.cell_evaluator import Candidate, OnStep, climb
from deeplab_dpc.search.proxy.cell_network import CellNetwork
from deeplab_dpc.search.proxy.cell_weights import InitialWeights, initial_statistics
from deeplab_dpc.search.proxy.device_scoring import check_labels
from deeplab_dpc.search.proxy.feature_cache import CachedSplit, FeatureCache
from deeplab_dpc.search.proxy.feed import Feed
from deeplab_dpc.search.proxy.program import LABELS, Program, ProxyLoss, program
from deeplab_dpc.search.proxy.target_cache import cached_targets
from deeplab_dpc.search.proxy.training_step import FEATURES, initial_state
from deeplab_dpc.search.proxy.wiring import Capacity, wire
from deeplab_dpc.search.scored import ProxyScore
from deeplab_dpc.training.schedules import PolySchedule

EVAL_BATCH_SIZE = 8
WINDOW_STEPS = 64  # largest number of steps in one call of the device
CALL_SECONDS = 4.0  # intended duration of a call: each call allocates its memory anew, and reports its steps at its end


class ProxyEvaluator:
    """Scores cells on a feature cache, with the same seed, data order and budget for every cell.

    One program for all cells is compiled when the first cell of a process is scored (program.py). A training whose loss
    is not finite ends at that step, with mIOU 0 and an infinite loss: all cells have the same data, order and rate, and
    the same training would diverge again.

    Args:
      cache: cache of the features.
      config: configuration of the search, with batch size, learning rate, loss, precision, seed and evaluation split.
      train_split: split to train on.

    Raises:
      UserError: if a label is neither a class nor the ignore label, or the number of label weights is not that of the
        classes.
    """

    def __init__(self, cache: FeatureCache, config: SearchConfig, train_split: str = "train"):
        self.cache = cache
        self.config = config
        self.train_split: CachedSplit = cache.split(train_split)
        self.eval_split: CachedSplit = cache.split(config.eval_split)
        check_labels(self.eval_split.labels, cache.num_classes, cache.ignore_label)
        self._loss = ProxyLoss(
            self.train_split.features.shape[1:3],
            self.train_split.labels.shape[1:],
            cache.num_classes,
            cache.ignore_label,
            config.proxy_loss_nodes,
            config.label_weights,
        )
        arrays = {FEATURES: self.train_split.features, **self._targets(train_split)}
        self._feed = Feed(arrays, config.proxy_batch_size, config.seed, WINDOW_STEPS, views=self.train_split.views)
        self._capacity = Capacity(config.num_branches, max((1, *config.cell_grids)))
        self._initial: InitialWeights | None = None

    def _targets(self, train_split: str) -> dict[str, np.ndarray]:
        labels = self.train_split.labels
        if self._loss.nodes:
            return cached_targets(self.cache.path / train_split, labels, self._loss.separated()).rows(slice(None))
        check_labels(labels, self.cache.num_classes, self.cache.ignore_label)
        return {LABELS: labels}

    def evaluate(self, candidates: Iterable[Candidate], budgets: Sequence[int]) -> Iterator[ProxyScore]:
        """Trains each cell from scratch on each of the rungs and scores it; see Evaluator."""
        for candidate in candidates:
            train = functools.partial(self._train, candidate.cell, candidate.on_step)
            score = climb(budgets, train, candidate.keep_going)
            yield dataclasses.replace(score, signal=self.config.proxy_signal)

    def _train(self, cell: Cell, on_step: OnStep | None, steps: int) -> ProxyScore:
        compiled, pace = self._program(cell), _Pace()
        stops = score_steps(steps, self.config.proxy_score_points)
        losses: list[float] = []
        points: list[tuple[int, float, float]] = []
        for state, found in self._calls(compiled, cell, steps, stops, pace):
            for loss in found:
                losses.append(loss)
                if on_step is not None:
                    on_step(len(losses), loss)
                if not math.isfinite(loss):
                    return ProxyScore.of_diverged(len(losses))
            if len(losses) in stops:
                points.append((len(losses), *self._scores(compiled, cell, state)))
        tail = losses[-max(len(losses) // 10, 1) :]
        _, miou, entropy = points[-1]
        return ProxyScore(
            miou,
            loss=float(np.mean(tail)),
            loss_sum=math.fsum(losses),
            steps=steps,
            step_seconds=pace.step_seconds,
            cross_entropy=entropy,
            points=tuple(points),
        )

    def _calls(
        self, compiled: Program, cell: Cell, steps: int, stops: Sequence[int], pace: "_Pace"
    ) -> Iterator[tuple[dict[str, Any], list[float]]]:
        """Trains, and yields the state after each call of the device and the losses of its steps. No call extends
        beyond a stop.
        """
        config, size = self.config, self._feed.window_steps
        state = self._initial_state(cell, compiled.network)
        wiring = self._wired(cell, compiled.network, self.train_split)
        rates = ops.convert_to_numpy(PolySchedule(config.proxy_learning_rate, steps)(np.arange(steps, dtype="float32")))
        seeds = np.random.default_rng([config.seed, steps]).integers(0, 2**31, steps).astype("int32")
        decay = np.float32(limited_decay(HEAD_BATCH_NORM_DECAY, steps))
        done = 0
        for window in self._feed.windows(steps):
            own = (np.pad(values[done : done + window.steps], (0, size - window.steps)) for values in (rates, seeds))
            constants = [ops.convert_to_tensor(values) for values in (window.rows, *own, decay)]
            first = 0
            while first < window.steps:
                to_stop = min(stop for stop in stops if stop > done + first) - done - first
                count = min(pace.count(), window.steps - first, to_stop)
                start = time.monotonic()
                places = [ops.convert_to_tensor(np.int32(place)) for place in (first, count)]
                state, found = compiled.run(state, wiring, window.arrays, *constants, *places)
                losses = ops.convert_to_numpy(found)[first : first + count].tolist()
                pace.took(time.monotonic() - start, count)
                yield state, losses
                first += count
            done += window.steps

    def _program(self, cell: Cell) -> Program:
        """Returns the compiled program; another one if the cell does not fit the existing program."""
        self._capacity = self._capacity.including(cell)
        network = CellNetwork(
            channels=self.train_split.features.shape[-1],
            num_classes=self.cache.num_classes,
            capacity=self._capacity,
            dtype=self.config.proxy_precision,
        )
        return program(network, self._loss)

    def _initial_state(self, cell: Cell, network: CellNetwork) -> dict[str, Any]:
        if self._initial is None or self._initial.network != network:
            self._initial = InitialWeights(network, self.config.seed)
        return initial_state(self._initial.of(cell), initial_statistics(network))

    def _wired(self, cell: Cell, network: CellNetwork, split: CachedSplit) -> dict[str, Any]:
        arrays = wire(cell, network.capacity, split.features.shape[1:3], self.cache.output_stride)
        return {name: ops.convert_to_tensor(values) for name, values in arrays.items()}

    def _scores(self, compiled: Program, cell: Cell, state: dict[str, Any]) -> tuple[float, float]:
        """Returns the mIOU and the cross entropy on the evaluation split, the latter in nats per labelled pixel."""
        features, labels = self.eval_split.features, self.eval_split.labels
        wiring = self._wired(cell, compiled.network, self.eval_split)
        counted = ConfusionMatrix(self.cache.num_classes, self.cache.ignore_label)
        entropies = []
        for first in range(0, len(labels), EVAL_BATCH_SIZE):
            # The last batch is padded with images whose labels are ignored, so that only one shape is compiled.
            rows = np.minimum(np.arange(first, first + EVAL_BATCH_SIZE), len(labels) - 1)
            batch_labels = labels[rows]
            batch_labels[len(np.unique(rows)) :] = self.cache.ignore_label
            batch = kernels.to_device(features[rows]), kernels.to_device(batch_labels)
            counts, entropy = compiled.score(state["weights"], state["statistics"], wiring, *batch)
            counted.matrix += ops.convert_to_numpy(counts)
            entropies += ops.convert_to_numpy(entropy).tolist()
        return counted.mean_iou(), math.fsum(entropies) / int(counted.matrix.sum())


def score_steps(steps: int, points: int) -> tuple[int, ...]:
    """Returns the steps after which a training is scored: `points` of them at equal distances; fewer for a short
    training.
    """
    return tuple(sorted({math.ceil(steps * place / points) for place in range(1, points + 1)}))


class _Pace:
    """The speed of the steps; the first call of a training, which may compile, does not count if there are others."""

    def __init__(self) -> None:
        self._calls: list[tuple[float, int]] = []

    def took(self, seconds: float, steps: int) -> None:
        self._calls.append((seconds, steps))

    @property
    def step_seconds(self) -> float:
        """Returns the mean seconds per step; 0 if unknown."""
        seconds, steps = map(sum, zip(*self._calls[1:], strict=True)) if len(self._calls) > 1 else (0.0, 1)
        return seconds / steps

    def count(self) -> int:
        """Returns the number of steps for the next call."""
        return max(1, int(CALL_SECONDS / self.step_seconds)) if self.step_seconds else 1
