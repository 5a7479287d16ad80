"""The report of a loss or gradient that is not finite: the saved batch, and a message with the usual causes."""

import dataclasses
import math
import pathlib
from typing import Any

import keras
import numpy as np

from deeplab_dpc.checkpoint.names import named_variables
from deeplab_dpc.checkpoint.run import read_weights
from deeplab_dpc.checkpoint.run_directory import RunCheckpoint, list_checkpoints
from deeplab_dpc.config import DataConfig, TrainConfig
from deeplab_dpc.config.model import GREY_PIXEL
from deeplab_dpc.data.contact_sheet import make_tile, save_contact_sheet
from deeplab_dpc.data.dataset_info import Dataset, DatasetInfo
from deeplab_dpc.data.pipeline import training_dataset
from deeplab_dpc.data.preprocess import Augmentation
from deeplab_dpc.data.record_order import WHOLE, Shard, record_names
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import atomic_path, write_json

BATCH, PICTURE, REPORT = "batch.npz", "batch.png", "report.json"
LISTED_RECORDS, LISTED_VARIABLES = 8, 3
MIN_STATISTICS_BATCH = 8  # images; the batch statistics of fewer images are too noisy for training
LARGEST_FLOAT16 = 65504
_NOT_PARTS = ("loss", "gradient_norm", "learning_rate")  # not parts of a step's loss; the other values sum to it
_NUM_IDS = 256


class DivergedError(UserError):
    """The error of a training whose loss or gradient is not finite; the message is a report of several lines.

    Attributes:
      step: step with the loss or gradient that is not finite, from 1 on.
    """

    def __init__(self, message: str, step: int):
        super().__init__(message)
        self.args = ("\n".join(str(UserError(line)) for line in message.splitlines()),)
        self.step = step


@dataclasses.dataclass(frozen=True)
class Batch:
    """The examples of a training step.

    Attributes:
      images: image values, float32 [batch, height, width, 3].
      labels: class ids, int32 [batch, height, width].
      records: source of each example.
      info: description of their data set.
    """

    images: np.ndarray
    labels: np.ndarray
    records: list[str]
    info: DatasetInfo

    def pixels(self) -> np.ndarray:
        """Returns the number of pixels with each id, int64 [256]."""
        return np.bincount(self.labels.ravel(), minlength=_NUM_IDS)

    def labelled_pixels(self) -> int:
        return int(np.sum(self.labels != self.info.ignore_label))

    def with_wrong_values(self) -> list[str]:
        """Returns the records whose image has values that are not finite."""
        return self._records_where(~np.isfinite(self.images).all(axis=-1))

    def with_wrong_ids(self) -> list[str]:
        """Returns the records whose label has an id that is neither a class nor the ignore label."""
        return self._records_where((self.labels >= self.info.num_classes) & (self.labels != self.info.ignore_label))

    def _records_where(self, wrong: np.ndarray) -> list[str]:
        return [name for name, own in zip(self.records, wrong, strict=True) if own.any()]


def check_initial_weights(network: keras.Model) -> None:
    """Checks the variables of a network before the first step.

    Raises:
      UserError: if variables of the network hold nan or inf; the message names the first.
    """
    names = _not_finite(named_variables(network))
    if names:
        raise UserError(
            f"{_listed(names, LISTED_VARIABLES)} of the network's {len(network.weights)} variables hold nan or inf "
            "before the first step; the checkpoint that they come from is broken: give another "
            "--tf_initial_checkpoint, or, where a run continues, remove its latest checkpoint."
        )


def remade_batch(
    dataset: Dataset,
    data: DataConfig,
    config: TrainConfig,
    step: int,
    mean_pixel: tuple[float, float, float] = GREY_PIXEL,
) -> Batch:
    """Returns the batch of a step, of all processes together; it depends only on the configuration and the step.

    With `cache` memory, pixels of JPEGs may differ from those used in training by the rounding of their decoder.

    Args:
      dataset, data, config: data set, data configuration and training configuration.
      step: number of the step, from 1 on.
      mean_pixel: (red, green, blue) of the padding.
    """
    split, batch_size = data.train_split, config.train_batch_size
    batches = training_dataset(
        dataset,
        split,
        Augmentation.from_config(data, mean_pixel),
        batch_size=batch_size,
        seed=config.seed,
        start_step=step - 1,
        cache="disk" if data.cache == "disk" else "none",  # filling the memory for one batch would take too long
    )
    images, labels = next(batches.take(1).as_numpy_iterator())
    records = record_names(dataset, split, batch_size=batch_size, seed=config.seed, step=step - 1)
    return Batch(images, labels, records, dataset.info)


def report_divergence(
    workdir: pathlib.Path,
    step: int,
    values: dict[str, float],
    network: keras.Model,
    dataset: Dataset,
    data: DataConfig,
    config: TrainConfig,
    shard: Shard = WHOLE,
    mean_pixel: tuple[float, float, float] = GREY_PIXEL,
) -> DivergedError:
    """Saves the batch of the step and a report in WORKDIR/diverged_step_XXXXXXXX.

    Args:
      workdir: the run directory.
      step: step whose loss or gradient norm is not finite, from 1 on.
      values: loss, its parts and gradient_norm of that step, or their means up to it; learning_rate if it is known.
      network: the network after the step.
      dataset, data, config: data set, data configuration and training configuration.
      shard: share of this process in each batch; the first process writes the whole batch.
      mean_pixel: (red, green, blue) of the padding.

    Returns:
      The error to raise, of several lines.
    """
    batch = remade_batch(dataset, data, config, step, mean_pixel)
    folder = workdir / f"diverged_step_{step:08d}"
    checkpoints = list_checkpoints(workdir)
    sound = next((checkpoint for checkpoint in reversed(checkpoints) if _is_sound(checkpoint)), None)
    saved = f"Saved in {folder}: {PICTURE} to look at, {BATCH} and {REPORT}."
    if shard.index == 0:
        try:
            _save(folder, step, values, network, batch, config, sound)
        except OSError as error:
            saved = f"The batch could not be saved in {folder} ({error.strerror})."
    parts = ", ".join(f"{name} {value:g}" for name, value in values.items() if name not in _NOT_PARTS)
    lines = [
        f"Training stopped at step {step}: the loss is {values['loss']:g}{f' ({parts})' if parts else ''}, "
        f"the gradient norm {values['gradient_norm']:g}.",
        f"The batch, of the split {data.train_split} in {dataset.path}: {_listed(batch.records, LISTED_RECORDS)}.",
        saved,
        _continuation(workdir, checkpoints, sound),
        "Usual causes:",
        *(f"* {cause}" for cause in _causes(values, batch, config)),
    ]
    return DivergedError("\n".join(lines), step)


def _save(
    folder: pathlib.Path,
    step: int,
    values: dict[str, float],
    network: keras.Model,
    batch: Batch,
    config: TrainConfig,
    sound: RunCheckpoint | None,
) -> None:
    finite = batch.images[np.isfinite(batch.images)]
    pixels = batch.pixels()
    report: dict[str, Any] = {
        "step": step,
        # JSON has no nan.
        "values": {name: value if math.isfinite(value) else str(value) for name, value in values.items()},
        "precision": config.precision,
        "records": batch.records,
        "images": {
            "smallest": float(finite.min()) if finite.size else None,
            "largest": float(finite.max()) if finite.size else None,
            "not_finite": batch.with_wrong_values(),
        },
        "labels": {
            "pixels": batch.labels.size,
            "labelled": batch.labelled_pixels(),
            "pixels_of_id": {str(i): int(pixels[i]) for i in np.flatnonzero(pixels)},
            "out_of_range": batch.with_wrong_ids(),
        },
        "not_finite_variables": _not_finite(named_variables(network)),
        "variables": len(network.weights),
        "checkpoint_step": sound.step if sound else None,
    }
    with atomic_path(folder) as partial:
        partial.mkdir()
        np.savez(partial / BATCH, images=batch.images, labels=batch.labels)
        write_json(partial / REPORT, report)
        _save_picture(partial / PICTURE, batch, step)


def _save_picture(path: pathlib.Path, batch: Batch, step: int) -> None:
    """Writes the images, and beside each the same image with the colours of its labels over it."""
    shown = np.nan_to_num(batch.images).clip(0, 255).astype(np.uint8)  # nan is black, inf is white
    tiles = [
        (name, make_tile(image, label.astype(np.uint8)))
        for name, image, label in zip(batch.records, shown, batch.labels, strict=True)
    ]
    title = f"{batch.info.name}, the batch of step {step}; classes, with their shares of its pixels"
    save_contact_sheet(path, tiles, batch.info, batch.pixels() / batch.labels.size, title)


def _not_finite(arrays: dict[str, Any]) -> list[str]:
    return [name for name, array in arrays.items() if not np.isfinite(np.asarray(array)).all()]


def _is_sound(checkpoint: RunCheckpoint) -> bool:
    """Returns whether a checkpoint can be read and is finite; a damaged file must not hide the divergence."""
    try:
        return not _not_finite(read_weights(checkpoint))
    except UserError:
        return False


def _continuation(workdir: pathlib.Path, checkpoints: list[RunCheckpoint], sound: RunCheckpoint | None) -> str:
    if sound is None:
        return (
            "There is no checkpoint to continue from: change flags and give another --workdir, or remove "
            f"{workdir}; the same command would reach the same batch from the beginning."
        )
    again = f"the same command continues from step {sound.step}, and reaches the same batch"
    if newer := [checkpoint.path for checkpoint in checkpoints if checkpoint.step > sound.step]:
        first = f"Remove {_listed(newer, len(newer))}, which cannot be read or is not finite; then {again}"
    else:
        first = again.capitalize()
    return f"{first}; to continue from there with other flags, add --fork_from={workdir} and give another --workdir."


def _causes(values: dict[str, float], batch: Batch, config: TrainConfig) -> list[str]:
    """Returns possible causes: certain errors come before frequent ones."""
    causes = []
    if names := batch.with_wrong_values():
        causes.append(f"The images of {_listed(names, LISTED_RECORDS)} hold nan or inf; build the data set again.")
    if names := batch.with_wrong_ids():
        causes.append(
            f"The labels of {_listed(names, LISTED_RECORDS)} have ids that are none of the {batch.info.num_classes} "
            f"classes nor the ignore label {batch.info.ignore_label}; deeplab-dpc check-data reports all of them."
        )
    if not batch.labelled_pixels():
        causes.append(
            f"No pixel of the batch is labelled (all are {batch.info.ignore_label}): give a larger --train_crop_size "
            "or --train_batch_size, or leave such images out; deeplab-dpc check-data says how many pixels are ignored."
        )
    if config.precision == "float16":
        causes.append(
            f"Activations above {LARGEST_FLOAT16} are inf in float16: --precision=bfloat16 has the range of float32."
        )
    at_a_time = config.train_batch_size // config.gradient_accumulation_steps
    if config.fine_tune_batch_norm and at_a_time < MIN_STATISTICS_BATCH:
        causes.append(
            f"Batch norm is trained on {at_a_time} image{'s' * (at_a_time > 1)} at a time "
            f"(--train_batch_size={config.train_batch_size}, "
            f"--gradient_accumulation_steps={config.gradient_accumulation_steps}), which is less than "
            f"{MIN_STATISTICS_BATCH}: give --fine_tune_batch_norm=false, or a larger batch; accumulation does not help."
        )
    return [*causes, _rate_cause(values, config)]


def _rate_cause(values: dict[str, float], config: TrainConfig) -> str:
    rate = config.base_learning_rate
    now = f" ({values['learning_rate']:g} at this step)" if "learning_rate" in values else ""
    if config.slow_start_step:
        slow_start = (
            f"a longer or slower start than --slow_start_step={config.slow_start_step} and "
            f"--slow_start_learning_rate={config.slow_start_learning_rate:g}"
        )
    else:
        slow_start = f"a slow start, --slow_start_step={max(config.training_number_of_steps // 100, 1)}"
    return (
        f"A learning rate of --base_learning_rate={rate:g}{now} is too high: try a tenth, "
        f"--base_learning_rate={rate / 10:g}, or {slow_start}."
    )


def _listed(items: list[Any], limit: int) -> str:
    """Returns the first items, and the total number if not all are listed."""
    shown = ", ".join(map(str, items[:limit]))
    return shown if len(items) <= limit else f"{shown}, ... ({len(items)} in all)"
