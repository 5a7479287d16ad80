"""Training in a run directory, as in deeplab-dpc train."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import keras

from deeplab_dpc.api.arguments import naming_arguments
from deeplab_dpc.api.data import DatasetLike, as_dataset
from deeplab_dpc.api.options import TrainOptions, check_names, config_of, model_config
from deeplab_dpc.api.segmenter import Segmenter
from deeplab_dpc.checkpoint.found_network import backbone_line, find_backbone
from deeplab_dpc.config import DataConfig, ModelConfig, TrainConfig
from deeplab_dpc.console import console
from deeplab_dpc.data.dataset_info import Dataset, default_crop
from deeplab_dpc.data.foreign_records import check_evaluable
from deeplab_dpc.evaluation.validation import Validator
from deeplab_dpc.training.hooks import Hooks
from deeplab_dpc.training.trainer import train as train_run


@naming_arguments(data_dir="dataset")
def train(
    workdir: str | os.PathLike[str],
    dataset: DatasetLike,
    *,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **options: Unpack[TrainOptions],
) -> Segmenter:
    """Trains a network by the published protocol in a run directory, on one device.

    The run directory is that of deeplab-dpc train: all commands accept it, and the same call continues it, even after
    a kill.
    For a training with your own protocol, use `Segmenter.fit`.

    Example:
        import keras
        from deeplab_dpc import read_dataset, train

        class Losses(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                print(batch, logs["loss"])

        model = train(
            "NEW_RUN",
            read_dataset("DATA"),
            depth_multiplier=0.1,
            dense_prediction_cell="conv1x1",
            training_number_of_steps=2,
            train_batch_size=2,
            eval_interval_steps=0,
            callbacks=[Losses()],
        )
        model.save("trained.keras")

    Args:
      workdir: run directory, created if it is absent.
      dataset: data set of `read_dataset`, or its folder.
      callbacks: Keras callbacks, called after each step once the run directory has recorded it. Their `model` trains
        the network `model.network`. An epoch ends for them with each evaluation, whose metrics are in its logs as
        `val_miou`, ...; one that sets `stop_training`, such as EarlyStopping, ends the training after saving the step.
      **options: options of the network, the augmentation and the training, named as the flags of deeplab-dpc train:
        training_number_of_steps, train_batch_size, base_learning_rate, train_crop_size, dense_prediction_cell,
        tf_initial_checkpoint, ...; deeplab_dpc.config documents each in ModelConfig, DataConfig and TrainConfig. The
        backbone is that of tf_initial_checkpoint unless an option names another.

    Returns:
      The trained network.

    Raises:
      UserError: if the directory contains another run or is in use by another process, the data cannot be used for
        training, or a value is invalid.
      TypeError: if there is no such option.
    """
    dataset = as_dataset(dataset)
    model, data, protocol = _configurations(workdir, dataset, options)
    validator = validator_of(model, protocol, dataset)
    network = train_run(pathlib.Path(workdir), model, data, protocol, dataset, Hooks(validator, callbacks=callbacks))
    return Segmenter.of_network(network, dataset.info, protocol.training_number_of_steps)


def _configurations(
    workdir: str | os.PathLike[str], dataset: Dataset, options: Mapping[str, Any]
) -> tuple[ModelConfig, DataConfig, TrainConfig]:
    check_names(options, ModelConfig, DataConfig, TrainConfig)
    of_data, of_protocol = (
        {name: value for name, value in options.items() if name in config.__dataclass_fields__}
        for config in (DataConfig, TrainConfig)
    )
    rest = {name: value for name, value in options.items() if name not in of_data and name not in of_protocol}
    protocol = config_of(TrainConfig, of_protocol)
    model = model_config(dataset.info.num_classes, rest)
    if protocol.tf_initial_checkpoint:
        given = {name: getattr(model, name) for name in rest}
        taken = find_backbone(protocol.tf_initial_checkpoint, given, workdir)
        if line := backbone_line(protocol.tf_initial_checkpoint, taken):
            console.print(line)
        model = model_config(dataset.info.num_classes, {**taken, **rest})
    split = of_data.get("train_split", DataConfig.train_split)
    dataset.shards(split)  # raises an error with a clear message if there is no such split
    of_data.setdefault("train_crop_size", default_crop(dataset, split, model.alignment))
    place = {"data_dir": os.path.abspath(dataset.path)}
    return model, config_of(DataConfig, {**of_data, **place}), protocol


def validator_of(model_config: ModelConfig, config: TrainConfig, dataset: Dataset) -> Validator | None:
    """Returns the function that evaluates during the training; None if no evaluation is requested, or by default if
    there is nothing to evaluate.
    """
    if config.eval_interval_steps == 0:
        return None
    if config.eval_interval_steps is None and not set(config.eval_split.split(",")) <= set(
        dataset.info.labelled_splits
    ):
        console.print(f"There is no split {config.eval_split} with labels to evaluate on (--eval_split).")
        return None
    dataset.require_labels(config.eval_split)
    # Checked now instead of after a tenth of the training.
    instead = "evaluate on another split (--eval_split), or on none (--eval_interval_steps=0)"
    check_evaluable(dataset, config.eval_split, instead)
    return Validator(model_config, dataset, config.eval_split)
