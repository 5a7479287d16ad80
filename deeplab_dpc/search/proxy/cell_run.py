"""The end-to-end training of one cell, as a resumable run of the normal trainer, with its evaluation."""

import dataclasses
import math
import pathlib
import time

import keras

from deeplab_dpc.checkpoint.run import load_weights
from deeplab_dpc.checkpoint.run_directory import latest_checkpoint
from deeplab_dpc.checkpoint.run_state import PROGRESS, read_progress
from deeplab_dpc.config import DataConfig, JudgeConfig, ModelConfig, TrainConfig
from deeplab_dpc.console import console
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.evaluation.evaluator import evaluate
from deeplab_dpc.evaluation.judge import Judge
from deeplab_dpc.evaluation.measures import Measured
from deeplab_dpc.models.predictor import Predictor
from deeplab_dpc.models.segmenter import build_segmenter
from deeplab_dpc.search.proxy.cell_evaluator import OnStep
from deeplab_dpc.training.divergence import DivergedError
from deeplab_dpc.training.hooks import Hooks
from deeplab_dpc.training.trainer import train


@dataclasses.dataclass(frozen=True)
class CellRun:
    """The result of a finished run.

    Attributes:
      steps: number of steps that were trained; fewer than requested if the training diverged.
      rows: (number of steps, mean loss over them) of each row of the training's metrics, in order.
      seconds: seconds of the steps, over all starts of the run, and of the evaluation.
      measured: counts of each image, those by class first; empty if the training diverged.
    """

    steps: int
    rows: tuple[tuple[int, float], ...]
    seconds: float
    measured: tuple[Measured, ...] = ()

    @property
    def diverged(self) -> bool:
        return not self.measured

    @property
    def miou(self) -> float:
        """Returns the mIOU in [0, 1]; 0 if the training diverged, since there is no network to evaluate."""
        return float(self.measured[0].counts.sums().mean_iou()) if self.measured else 0.0

    @property
    def loss_sum(self) -> float:
        """Returns the sum of the training losses of all steps."""
        return math.fsum(steps * loss for steps, loss in self.rows)

    def last_loss(self, steps: int) -> float:
        """Returns the mean training loss over the last `steps` steps, rounded up to whole rows."""
        total, count = 0.0, 0
        for number, loss in reversed(self.rows):
            if count >= steps:
                break
            total, count = total + number * loss, count + number
        return total / count


def train_cell(
    workdir: pathlib.Path,
    network: ModelConfig,
    data: DataConfig,
    config: TrainConfig,
    dataset: Dataset,
    eval_split: str,
    on_step: OnStep | None = None,
) -> CellRun:
    """Trains to the last step of `config`, from the run's latest checkpoint if it has one, and evaluates the run.

    Args:
      workdir, network, data, config, dataset: see `train`.
      eval_split: evaluation split; each image is evaluated at its own size.
      on_step: function called after each step; its errors are passed on, and the run continues when it is started
        again.
    """
    keras.utils.clear_session()
    start = time.monotonic()
    try:
        train(workdir, network, data, config, dataset, Hooks(on_step=on_step), is_locked=True)
    except DivergedError as error:
        console.print(str(error))
        return CellRun(error.step, (), time.monotonic() - start)
    # Loaded from the checkpoint, so that it computes in float32 whatever the precision of the training.
    checkpoint = latest_checkpoint(workdir)
    model = build_segmenter(network)
    load_weights(checkpoint, model)
    start = time.monotonic()
    judge = Judge(dataset.info, JudgeConfig())
    evaluate(Predictor(model), dataset, eval_split, progress=on_step is None, on_image=[judge.add])
    seconds, rows, before = time.monotonic() - start, [], 0
    for row in read_progress(checkpoint.path / PROGRESS).rows:
        steps, before = int(row["step"]) - before, int(row["step"])
        seconds += steps * row["seconds_per_step"]
        rows.append((steps, row["loss"]))
    return CellRun(before, tuple(rows), seconds, judge.measured())
