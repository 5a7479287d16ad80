"""Real training of a finalist and its evaluation (arXiv:1809.04184, Sec. 3.3), as a run of deeplab-dpc train.

    ROOT/CELL/seed_0_steps_100          the first round with seed 0
    ROOT/CELL/seed_0_steps_100_200      the second, forked from it before its learning rate fell to 0
        eval_val/metrics.json, per_image.npz    as deeplab-dpc eval writes them, and its flag --compare reads them

For every finalist only the backbone is initialised from the checkpoint: context module, decoder and logits start fresh,
whatever the checkpoint has, so that no finalist has an advantage because the checkpoint happens to fit it.
"""

import dataclasses
import hashlib
import pathlib

import numpy as np

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.checkpoint.run_directory import list_checkpoints
from deeplab_dpc.config import DataConfig, InferenceConfig, JudgeConfig, SearchConfig, TrainConfig
from deeplab_dpc.config.train import DRAWN
from deeplab_dpc.console import console
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.evaluation.bootstrap import Bootstrap
from deeplab_dpc.evaluation.image_counts import ImageCounts
from deeplab_dpc.evaluation.measures import metrics_of
from deeplab_dpc.evaluation.report import Report, write_report
from deeplab_dpc.evaluation.stored import evaluation_folder
from deeplab_dpc.search.contest.network import RerankNetwork
from deeplab_dpc.search.contest.trained import Trained
from deeplab_dpc.search.proxy.cell_evaluator import OnStep
from deeplab_dpc.search.proxy.cell_run import CellRun, train_cell
from deeplab_dpc.training.divergence import DivergedError
from deeplab_dpc.training.hooks import Hooks
from deeplab_dpc.training.trainer import train


def run_directory(root: pathlib.Path, cell: Cell, seed: int, ladder: tuple[int, ...]) -> pathlib.Path:
    """Returns the directory of a finalist's run in a round; `ladder` has the steps of the rounds up to that one."""
    return root / cell.digest() / f"seed_{seed}_steps_{'_'.join(map(str, ladder))}"


def train_finalist(
    root: pathlib.Path,
    cell: Cell,
    seed: int,
    ladder: tuple[int, ...],
    network: RerankNetwork,
    data: DataConfig,
    config: SearchConfig,
    dataset: Dataset,
    on_step: OnStep | None = None,
) -> Trained:
    """Trains the network with this cell up to the end of a round, from its run of the round before, and evaluates it.

    Earlier rounds that are missing in this directory are trained first. A training that diverges has mIOU 0: the others
    continue, and its loss is printed and kept in the run.

    Args:
      root: directory of the runs.
      cell: cell that replaces the network's context module.
      seed: seed of the fresh weights, order, augmentation and dropout.
      ladder: numbers of steps at the end of each round up to this one.
      network: network and its initial checkpoint.
      data: configuration of records and augmentation.
      config: configuration of the search, with batch size, learning rate, precision and evaluation split.
      dataset: the prepared data set.
      on_step: function called after each step; an error that it raises ends the training, which continues when it is
        started again.
    """
    whole = dataclasses.replace(network.config, dense_prediction_cell=cell)
    places = range(len(ladder))
    runs = [run_directory(root, cell, seed, ladder[: place + 1]) for place in places]
    begun = max((place for place in places if list_checkpoints(runs[place])), default=0)
    for place in places[begun:-1]:
        checkpoints = list_checkpoints(runs[place])
        if checkpoints and checkpoints[-1].step >= ladder[place]:
            continue
        protocol = _protocol(place, runs, ladder, seed, network, config)
        try:
            train(runs[place], whole, data, protocol, dataset, Hooks(on_step=on_step), is_locked=True)
        except DivergedError as error:
            console.print(str(error))
            return Trained.diverged(runs[place])
    protocol = _protocol(places[-1], runs, ladder, seed, network, config)
    run = train_cell(runs[-1], whole, data, protocol, dataset, config.eval_split, on_step)
    if run.diverged:
        return Trained.diverged(runs[-1], run.seconds)
    _write_evaluation(runs[-1], run, dataset, config.eval_split)
    counts = run.measured[0].counts
    samples = Bootstrap().sums(counts).mean_iou()
    return Trained(run.miou, run.seconds, str(runs[-1]), samples, _digest(counts), len(counts.names))


def _protocol(
    place: int,
    runs: list[pathlib.Path],
    ladder: tuple[int, ...],
    seed: int,
    network: RerankNetwork,
    config: SearchConfig,
) -> TrainConfig:
    """Returns the training configuration of a round's run: the first starts from the backbone, the others from the run
    before, and all but the last of the schedule end early.
    """
    is_first, steps = place == 0, ladder[place]
    whole = max(steps, config.rerank_steps, config.rerank_schedule_steps)
    ends_early = 1 < steps < whole  # the rate of a single step cannot fall
    return TrainConfig(
        training_number_of_steps=whole if ends_early else steps,
        early_end_step=steps if ends_early else 0,
        train_batch_size=config.rerank_batch_size,
        optimizer=config.rerank_optimizer,
        base_learning_rate=config.rerank_learning_rate,
        label_weights=config.label_weights,
        precision=config.rerank_precision,
        **(network.initial if is_first else DRAWN).of_training(),
        initialize_last_layer=False,
        fork_from=None if is_first else str(runs[place - 1]),
        save_interval_steps=max(1, min(500, ladder[place] // 4)),
        seed=seed,
    )


def _write_evaluation(workdir: pathlib.Path, run: CellRun, dataset: Dataset, split: str) -> None:
    judging = JudgeConfig()
    report = Report(
        source=str(workdir),
        step=run.steps,
        info=dataset.info,
        split=split,
        inference=InferenceConfig(),
        judging=judging,
        measured=run.measured,
        metrics=tuple(metrics_of(one, Bootstrap(judging.bootstrap_resamples)) for one in run.measured),
        branch_weights=(),
        seconds=run.seconds,
    )
    write_report(evaluation_folder(workdir, split), report)


def _digest(counts: ImageCounts) -> str:
    """Returns a digest of the images and their labels, which must be equal for trainings that are compared."""
    digester = hashlib.sha256("\n".join(counts.names).encode("utf-8", "surrogateescape"))
    digester.update(np.ascontiguousarray(counts.labelled, dtype="<i8").tobytes())
    return digester.hexdigest()[:16]
