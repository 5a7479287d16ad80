"""Trains a segmentation network on a prepared data set, in a run directory from which the same command continues."""

import dataclasses
import datetime
import itertools
import json
import math

from deeplab_dpc.api.training import validator_of
from deeplab_dpc.arch.fitting import STRIDE, feature_cells, fitted_aspp_rates, rates_along, untrained_rates
from deeplab_dpc.cli.describe import description, print_description
from deeplab_dpc.cli.flags.base import required
from deeplab_dpc.cli.flags.train import DeviceFlags, Flags
from deeplab_dpc.cli.start_backbone import backbone_of
from deeplab_dpc.config import DataConfig, ModelConfig, TrainConfig
from deeplab_dpc.config.model import check_crop
from deeplab_dpc.console import console
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.pipeline import iterate, training_dataset
from deeplab_dpc.data.preprocess import Augmentation
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.memory import TRAINING_ADDRESSES, require_address_space
from deeplab_dpc.training.device_memory import exhausted_memory_named, require_memory
from deeplab_dpc.training.distribution import Devices, open_devices
from deeplab_dpc.training.hooks import Hooks
from deeplab_dpc.training.initialization import initialize
from deeplab_dpc.training.rehearsal import Rehearsal, rehearse
from deeplab_dpc.training.trainer import train
from deeplab_dpc.training.training_model import build_training_model


def main(flags: Flags) -> None:
    """Trains the network."""
    require_address_space(TRAINING_ADDRESSES)
    if flags.dry_run and not flags.data.data_dir:
        raise UserError(
            "--data_dir is required; deeplab-dpc describe prints a network without data, for --num_classes."
        )
    workdir = "" if flags.dry_run else required("workdir", flags.workdir)
    dataset = flags.data.found()
    taken = backbone_of(flags.training["tf_initial_checkpoint"], flags.network, flags.workdir, verbose=not flags.json)
    model_config = flags.network.with_defaults(taken).config(dataset.info.num_classes)
    data = flags.data.config(dataset, model_config.alignment)
    config = flags.training.make(**_steps_of_epochs(flags, dataset, data.train_split))
    warning = _untrained_taps(model_config, data.train_crop_size, dataset.max_size(data.train_split))
    if warning and not flags.json:
        console.print(warning)
    if flags.dry_run:
        _dry_run(model_config, data, config, dataset, flags.json)
        return
    devices, validator = devices_from_flags(flags.devices), validator_of(model_config, config, dataset)
    if validator is not None and config.eval_split in (part.split for part in dataset.parts(data.train_split)):
        console.print(
            f"--train_split={data.train_split} has the images of --eval_split={config.eval_split}: its mIOU will say "
            "little about other images."
        )
    train(workdir, model_config, data, config, dataset, Hooks(validator), devices)


def _untrained_taps(model: ModelConfig, crop: tuple[int, int], largest: tuple[int, int]) -> str:
    """Returns a warning about atrous rates that see little but padding in crops, but features in whole images."""
    cell = model.dense_prediction_cell
    stride = model.output_stride if cell is None else STRIDE
    found: set[int] = set()
    sides = []
    for axis, (side, whole) in enumerate(zip(crop, largest, strict=True)):
        cells, of_image = feature_cells(side, stride), feature_cells(whole, stride)
        rates = model.atrous_rates if cell is None else rates_along(cell, axis)
        untrained = untrained_rates(rates, cells)
        sides.append(cells)
        if of_image > cells:
            found.update(untrained)
    if not found:
        return ""
    shown = ", ".join(map(str, sorted(found)))
    smaller = ",".join(str(rate * STRIDE // stride) for rate in fitted_aspp_rates(feature_cells(min(crop))))
    instead = f"--atrous_rates={smaller}" if cell is None else "a cell of smaller rates"
    return (
        f"The crops have {sides[0]} x {sides[1]} feature cells, of which the outer taps of a convolution with atrous "
        f"rate {shown} see hardly anything but padding: they stay untrained, and see features in whole images. Larger "
        f"--train_crop_size or {instead} may give a much better network."
    )


def _steps_of_epochs(flags: Flags, dataset: Dataset, split: str) -> dict[str, int]:
    """Returns the number of steps for --training_number_of_epochs; empty if it is not given."""
    epochs = flags.training_number_of_epochs
    if epochs is None:
        return {}
    training = flags.training
    if "training_number_of_steps" in training.given:
        raise UserError(
            f"--training_number_of_epochs={epochs:g} and "
            f"--training_number_of_steps={training['training_number_of_steps']} "
            "both say how long the training is; give one of them."
        )
    if not 0 < epochs < math.inf:
        raise UserError(f"--training_number_of_epochs must be a number greater than 0, got {epochs:g}.")
    if training["train_batch_size"] < 1:  # an error of the configuration, raised later
        return {}
    return {"training_number_of_steps": math.ceil(epochs * len(dataset.epoch(split)) / training["train_batch_size"])}


def _dry_run(model_config: ModelConfig, data: DataConfig, config: TrainConfig, dataset: Dataset, as_json: bool) -> None:
    check_crop(data.train_crop_size, model_config)
    if not as_json:
        print_description(model_config, data.train_crop_size)
    batches = training_dataset(
        dataset,
        data.train_split,
        Augmentation.from_config(data, model_config.mean_pixel),
        batch_size=config.train_batch_size,
        seed=config.seed,
        cache=data.cache,
    )
    model = build_training_model(model_config, config, dataset.info.ignore_label)
    if not as_json:
        initialize(model, model_config, data, config, dataset)
    shards = dataset.shards(data.train_split)
    examples = iterate(batches, f"The split {data.train_split} of {dataset.path}", shards)
    single = dataclasses.replace(config, train_batch_size=1, gradient_accumulation_steps=1)
    require_memory(model.network, single, data.train_crop_size)  # for the single image that is run first
    with exhausted_memory_named(config, data.train_crop_size):
        rehearsal = rehearse(model, itertools.islice(examples, 3), config)
    if as_json:
        described = description(model_config, data.train_crop_size)
        print(json.dumps({**described, "rehearsal": rehearsal.to_json()}, indent=1))
    else:
        _print_rehearsal(rehearsal, config)


def _print_rehearsal(rehearsal: Rehearsal, config: TrainConfig) -> None:
    shown = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in rehearsal.values.items())
    console.print(f"One batch: {shown}")
    batch, seconds = config.train_batch_size, rehearsal.seconds_per_step
    console.print(
        f"A step of {batch} images: {seconds:.3f} s, {batch / seconds:.2f} images/s; reading a batch takes "
        f"{rehearsal.input_seconds_per_batch:.3f} s, in parallel."
    )
    total = datetime.timedelta(seconds=round(rehearsal.total_seconds))
    console.print(f"{config.planned_steps} steps: about {total}, without evaluations.")
    free = "" if rehearsal.memory_available is None else f", {rehearsal.memory_available / 1e9:.2f} GB were free"
    if rehearsal.fits:
        console.print(f"Memory: {rehearsal.peak_memory / 1e9:.2f} GB at most{free}.")
        return
    console.print(
        f"Memory: about {rehearsal.memory_needed / 1e9:.2f} GB, estimated from {rehearsal.batch_size} image(s){free}: "
        "too much, and the batch was not run; --gradient_accumulation_steps processes it in parts, "
        "--precision=bfloat16 and a smaller --train_crop_size or --train_batch_size need less."
    )


def devices_from_flags(flags: DeviceFlags) -> Devices:
    """Returns the devices that the flags name; with several processes, only the first prints.

    Raises:
      UserError: if the flags contradict each other, or there are no such devices.
    """
    devices = open_devices(flags.num_clones, flags.num_replicas, flags.task, flags.master)
    console.quiet = not devices.is_chief
    return devices
