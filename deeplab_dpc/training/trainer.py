"""Training of a segmentation network with Keras fit, in a run directory from which it can be continued."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras

from deeplab_dpc.checkpoint.published import is_name
from deeplab_dpc.checkpoint.run import restore_training
from deeplab_dpc.checkpoint.run_best import mend_best
from deeplab_dpc.checkpoint.run_directory import best_folder, list_checkpoints, training_folder
from deeplab_dpc.checkpoint.run_state import Progress
from deeplab_dpc.checkpoint.same_parts import GENOTYPE_FILE
from deeplab_dpc.config import DataConfig, ModelConfig, TrainConfig
from deeplab_dpc.config.model import check_crop
from deeplab_dpc.console import console
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.foreign_records import check_labels
from deeplab_dpc.data.pipeline import damaged_record_named, training_dataset
from deeplab_dpc.data.preprocess import Augmentation
from deeplab_dpc.data.record_order import Shard
from deeplab_dpc.errors import Stopped, UserError
from deeplab_dpc.files import remove_partial, write_json
from deeplab_dpc.layers.normalization import BatchNorm
from deeplab_dpc.locks import only_process
from deeplab_dpc.models.segmenter import Segmenter, limited_decay
from deeplab_dpc.run_config import CONFIG_FILE, read_run
from deeplab_dpc.training.callbacks import EvaluationEpochs, StepBar
from deeplab_dpc.training.claim import claim
from deeplab_dpc.training.curves import complete_metrics
from deeplab_dpc.training.device_memory import exhausted_memory_named, require_memory
from deeplab_dpc.training.distribution import ONE_DEVICE, Devices
from deeplab_dpc.training.divergence import check_initial_weights, report_divergence
from deeplab_dpc.training.early_end import TimeLimit, early_ending, last_step
from deeplab_dpc.training.hooks import NO_HOOKS, Hooks
from deeplab_dpc.training.initialization import initialize
from deeplab_dpc.training.interruption import Interruption
from deeplab_dpc.training.recorder import Recorder
from deeplab_dpc.training.schedules import build_schedule
from deeplab_dpc.training.training_model import TrainingModel, build_training_model

CELL_FILE = "cell.json"
# Fields that affect neither the weights nor the choice of the best, and the time limit, which counts from each start.
EXTENDABLE = [
    "data.cache",
    "train.save_interval_steps",
    "train.log_steps",
    "train.eval_interval_steps",
    "train.time_limit",
]


def train(
    workdir: str | pathlib.Path,
    model_config: ModelConfig,
    data: DataConfig,
    config: TrainConfig,
    dataset: Dataset,
    hooks: Hooks = NO_HOOKS,
    devices: Devices = ONE_DEVICE,
    is_locked: bool = False,
) -> Segmenter:
    """Trains until `training_number_of_steps`, from the run's latest checkpoint if it has one.

    Args:
      workdir: the run directory, with config.json, dataset.json, cell.json, genotype.json, checkpoints/, best/,
        metrics.csv, validation.csv, curves.png, predictions.png and summaries/ (TensorBoard).
      model_config: configuration of the network.
      data: configuration of records and augmentation.
      config: training configuration.
      dataset: prepared data set that `data` names.
      hooks: what is called during the training.
      devices: devices to train on.
      is_locked: bool, whether the caller keeps other processes out of the directory, as a search does with its leases.

    Returns:
      The trained network.

    Raises:
      UserError: if another process uses the directory, it holds a run with another configuration or on other data, the
        split has no labels, the crop does not fit the output stride, or the loss is no longer finite (DivergedError).
      Stopped: if a signal asked to stop; the step is then saved.
    """
    is_lock_needed = devices.is_chief and not is_locked
    with only_process(workdir, "workdir") if is_lock_needed else contextlib.nullcontext():
        return _train(pathlib.Path(workdir), model_config, data, config, dataset, hooks, devices)


def _train(
    workdir: pathlib.Path,
    model_config: ModelConfig,
    data: DataConfig,
    config: TrainConfig,
    dataset: Dataset,
    hooks: Hooks,
    devices: Devices,
) -> Segmenter:
    """Trains in a directory that no other process uses."""
    limit = TimeLimit(config.time_limit) if config.time_limit else None
    check_crop(data.train_crop_size, model_config)
    devices.check_batch(config)
    if config.early_stopping_patience and hooks.validator is None:
        raise UserError(
            f"--early_stopping_patience={config.early_stopping_patience} needs evaluations, and this training has none."
        )
    if config.early_stopping_patience and devices.num_processes > 1:
        raise UserError(
            f"--early_stopping_patience={config.early_stopping_patience} is for one process; with several, give only "
            "--training_number_of_steps."
        )
    if config.time_limit and devices.num_processes > 1:
        raise UserError(
            f"--time_limit={config.time_limit:g} is for one process; with several, give only "
            "--training_number_of_steps."
        )
    dataset.require_labels(data.train_split)
    is_new = not list_checkpoints(workdir)
    if is_new and devices.is_chief:
        check_labels(dataset, data.train_split)
    keras.utils.set_random_seed(config.seed)
    with devices.scope():
        model = build_training_model(model_config, config, dataset.info.ignore_label)
        progress = Progress()
        if is_new:
            progress = initialize(model, model_config, data, config, dataset)
        # Only now, so that no run directory is left behind if the model or checkpoint does not fit.
        if devices.is_chief:
            evaluated = [] if hooks.validator is None else [config.eval_split]
            _open(workdir, model_config, data, config, dataset, evaluated)
        progress = restore_training(workdir, model.network, model.optimizer) or progress
        if devices.is_chief:
            mend_best(workdir, progress.validations)
        if progress.step >= last_step(config, progress):
            if devices.is_chief:
                complete_metrics(workdir, progress.rows, progress.validations)
            console.print(f"{workdir} is trained: step {progress.step} of {last_step(config, progress)}.")
            return model.network
        check_initial_weights(model.network)
        if progress.step:
            console.print(f"Training in {workdir} from step {progress.step}.")
        while progress.step < last_step(config, progress):
            _end_early(model, config, progress)
            if limit is not None:
                limit.start(progress.step)
            if _fit(workdir, model, data, config, dataset, progress, hooks, devices, limit):
                break
    return model.network


def _end_early(model: TrainingModel, config: TrainConfig, progress: Progress) -> None:
    """Sets the optimizer's learning rate to one that ends the training, if its early end is given, the evaluations
    have exhausted the patience, or the time limit has shortened it.
    """
    ending = early_ending(config, progress)
    if ending is None:
        return
    if ending.best_step is None and progress.shortened is None:
        why = f"The training ends early (--early_end_step={ending.end})"
    elif ending.best_step is None:
        why = "The training is shortened, since its steps take too long for its time limit"
    else:
        best = f"the best is of step {ending.best_step}" if ending.best_step > progress.began else "none was a number"
        why = f"No better mIOU in {config.early_stopping_patience} evaluations ({best})"
    where = f"from step {ending.start} the learning rate falls to 0 at step {ending.end}, where the training ends"
    console.print(f"{why}: {where}.", soft_wrap=True)
    model.optimizer.learning_rate = build_schedule(config, ending)
    for layer in model.network._flatten_layers():
        if isinstance(layer, BatchNorm):  # its moving averages must not span more than a tenth of fewer steps either
            layer.decay = limited_decay(layer.decay, ending.end)
    model.train_function = None  # The compiled step contains the previous schedule.


def _with_stored_sources(workdir: pathlib.Path, config: TrainConfig) -> TrainConfig:
    """Returns the configuration with the sources of the initial weights as the run has them, if they are the same
    directories or files in another spelling, or were moved with the run.
    """
    if not (workdir / CONFIG_FILE).exists():
        return config
    stored = read_run(workdir).get("train", {})
    same: dict[str, Any] = {}
    for name in ("fork_from", "tf_initial_checkpoint"):
        before, now = stored.get(name), getattr(config, name)
        if isinstance(before, str) and now is not None and before != now and _is_same_source(before, now):
            same[name] = before
    return dataclasses.replace(config, **same)


def _is_same_source(before: str, now: str) -> bool:
    if os.path.realpath(before) == os.path.realpath(now):
        return True
    has_moved = not (os.path.exists(before) or os.path.exists(f"{before}.index"))
    return has_moved and os.path.basename(before) == os.path.basename(now) and not is_name(before)


def _open(
    workdir: pathlib.Path,
    model_config: ModelConfig,
    data: DataConfig,
    config: TrainConfig,
    dataset: Dataset,
    evaluated: Sequence[str] = (),
) -> None:
    """Claims the directory for this configuration and data; `evaluated` lists the splits that are read beside the
    training split.
    """
    sections = {"model": model_config, "data": data, "train": _with_stored_sources(workdir, config)}
    claim(workdir, sections, EXTENDABLE, dataset, [data.train_split, *evaluated])
    if model_config.dense_prediction_cell is not None:
        write_json(workdir / CELL_FILE, model_config.dense_prediction_cell.to_json())
    if model_config.searched is not None:
        write_json(workdir / GENOTYPE_FILE, model_config.searched.to_json())
    for folder in (workdir, training_folder(workdir), best_folder(workdir)):
        remove_partial(folder)


def _fit(
    workdir: pathlib.Path,
    model: TrainingModel,
    data: DataConfig,
    config: TrainConfig,
    dataset: Dataset,
    progress: Progress,
    hooks: Hooks,
    devices: Devices,
    limit: TimeLimit | None,
) -> bool:
    """Trains to the last step, as known at the start; returns whether a callback stopped the training."""
    require_memory(model.network, config, data.train_crop_size, devices.count)
    shard, mean_pixel = Shard(devices.process, devices.num_processes), model.network.config.mean_pixel
    batches = training_dataset(
        dataset,
        data.train_split,
        Augmentation.from_config(data, mean_pixel),
        batch_size=config.train_batch_size // devices.num_processes,
        seed=config.seed,
        start_step=progress.step,
        cache=data.cache,
        shard=shard,
    )
    shards = dataset.shards(data.train_split)
    console.print(f"Training on {len(shards)} file(s) of {dataset.info.name}/{data.train_split}.")

    def on_divergence(step: int, values: dict[str, float]) -> UserError:
        return report_divergence(workdir, step, values, model.network, dataset, data, config, shard, mean_pixel)

    images = len(dataset.epoch(data.train_split))
    is_shown = console.is_interactive and devices.is_chief and hooks.on_step is None
    bar = StepBar(config, progress, images) if is_shown else None
    with (
        Interruption(devices.agreed_to_stop) as interruption,
        exhausted_memory_named(config, data.train_crop_size, devices.count),
        damaged_record_named(f"The split {data.train_split} of {dataset.path}", shards),
        bar or contextlib.nullcontext(),
    ):
        recorder = Recorder(
            workdir,
            config,
            progress,
            devices.is_chief,
            hooks,
            on_divergence,
            interruption,
            images,
            limit,
        )
        model.fit(
            batches,
            epochs=1,
            steps_per_epoch=last_step(config, progress) - progress.step,
            shuffle=False,
            verbose=0,
            callbacks=[*([bar] if bar else []), recorder, EvaluationEpochs(hooks.callbacks, progress)],
        )
    if interruption.received is not None:  # during the last step, its evaluation, or one that ends the training early
        raise Stopped(interruption.received, f"step {progress.step} is saved")
    return recorder.is_stopped_by_callback
