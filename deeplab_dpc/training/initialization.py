"""The initial weights of a network, taken from another run or from a checkpoint; their source is printed.

The classes of that source are compared with those of the data set.
"""

import dataclasses
import pathlib

from deeplab_dpc.checkpoint.published import CHECKPOINTS, is_name
from deeplab_dpc.checkpoint.restore import restore_for_training
from deeplab_dpc.checkpoint.run import fork_training
from deeplab_dpc.checkpoint.run_state import Progress
from deeplab_dpc.config import DataConfig, ModelConfig, TrainConfig
from deeplab_dpc.console import console
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.known_classes import known_classes
from deeplab_dpc.data.run_data import DATASET_FILE, class_difference, read_run_data
from deeplab_dpc.errors import UserError
from deeplab_dpc.run_config import config_differences, read_run
from deeplab_dpc.training.training_model import TrainingModel


def initialize(
    model: TrainingModel, model_config: ModelConfig, data: DataConfig, config: TrainConfig, dataset: Dataset
) -> Progress:
    """Initialises a fresh model from --fork_from or --tf_initial_checkpoint, and prints the source.

    Raises:
      UserError: if the source is absent, damaged, or does not fit; if --fork_from has other classes.
    """
    if config.fork_from:
        difference = _other_classes(config.fork_from, dataset)
        if difference is not None:
            raise UserError(
                f"--fork_from={config.fork_from} has other classes than {dataset.path}: {difference}; give "
                f"--tf_initial_checkpoint={config.fork_from} instead, whose logits then start fresh."
            )
        progress = fork_training(config.fork_from, model.network, model.optimizer)
        name = "early_end_step" if config.early_end_step else "training_number_of_steps"
        if progress.step >= config.planned_steps:
            raise UserError(
                f"--fork_from={config.fork_from} is at step {progress.step}, so that "
                f"--{name}={config.planned_steps} leaves nothing to train; give more, "
                "counted from the beginning of that run."
            )
        sections = {"model": model_config, "data": data, "train": dataclasses.replace(config, fork_from=None)}
        differences = config_differences(read_run(config.fork_from), sections).values()
        console.print(f"A new run from {config.fork_from}, step {progress.step}: {', '.join(differences)}.")
        return progress
    if config.tf_initial_checkpoint:
        report = restore_for_training(
            model.network,
            config.tf_initial_checkpoint,
            config.initialize_last_layer,
            config.restore_moving_averages,
            config.last_layers_contain_logits_only,
            _other_classes(config.tf_initial_checkpoint, dataset),
        )
        console.print(str(report))
    else:
        console.print("No --tf_initial_checkpoint: the training starts from scratch.")
    return Progress()


def _other_classes(source: str, dataset: Dataset) -> str | None:
    """Returns as text the difference between the classes of a run or of a published checkpoint and the data set's.

    The result is None if they are equal, and if a checkpoint does not name its classes.
    """
    if is_name(source):
        published = CHECKPOINTS.get(source)
        known = None if published is None or published.num_classes is None else known_classes(published.num_classes)
        return None if known is None else class_difference(known.names, dataset.info.class_names)
    if not (pathlib.Path(source) / DATASET_FILE).exists():
        return None
    return class_difference(read_run_data(source).info.class_names, dataset.info.class_names)
