"""Trains a segmentation network on a prepared data set; the same command continues an interrupted run."""

import dataclasses
from typing import ClassVar

from deeplab_dpc.cli.flags.base import CommandFlags, ConfigFields, FlagGroup, fields_of, flag
from deeplab_dpc.cli.flags.shared import DataFlags, NetworkFlags, json_flag
from deeplab_dpc.config import TrainConfig

# The fields of TrainConfig that have a title other than Training in the help.
OF_OPTIMIZER = (
    "optimizer",
    "momentum",
    "adam_epsilon",
    "learning_policy",
    "base_learning_rate",
    "learning_power",
    "end_learning_rate",
    "learning_rate_decay_step",
    "learning_rate_decay_factor",
    "slow_start_step",
    "slow_start_learning_rate",
    "slow_start_burnin_type",
    "weight_decay",
    "clip_gradient_norm",
    "last_layer_gradient_multiplier",
)
OF_LOSS = (
    "upsample_logits",
    "label_weights",
    "top_k_percent_pixels",
    "hard_example_mining_step",
    "focal_loss_weight",
    "focal_loss_gamma",
    "dice_loss_weight",
    "loss_quadrature_nodes",
)
COMMON = (
    "workdir",
    "data_dir",
    "dataset",
    "train_split",
    "train_crop_size",
    "min_scale_factor",
    "max_scale_factor",
    "cache",
    "model_variant",
    "output_stride",
    "atrous_rates",
    "decoder_output_stride",
    "dense_prediction_cell_json",
    "genotype_json",
    "training_number_of_steps",
    "training_number_of_epochs",
    "train_batch_size",
    "gradient_accumulation_steps",
    "precision",
    "tf_initial_checkpoint",
    "fork_from",
    "fine_tune_batch_norm",
    "eval_split",
    "eval_interval_steps",
    "early_stopping_patience",
    "time_limit",
    "seed",
    "optimizer",
    "learning_policy",
    "base_learning_rate",
    "weight_decay",
    "label_weights",
    "dry_run",
    "num_clones",
)  # in --help; the others are in --helpfull
TITLES = {**dict.fromkeys(OF_OPTIMIZER, "Optimizer"), **dict.fromkeys(OF_LOSS, "Loss")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceFlags(FlagGroup):
    """The flags of the devices and processes of a training."""

    TITLE: ClassVar[str] = "Devices"

    num_clones: int | None = flag(
        None,
        "Number of devices of this process that train together; by default all its GPUs or TPUs, or else the CPU.",
    )
    num_replicas: int | None = flag(None, "Number of processes that train together (--backend=jax).")
    task: int | None = flag(None, "Index of this process, counted from 0.")
    master: str | None = flag(
        None,
        "HOST:PORT of process 0, with --num_replicas and --task; or auto, under Slurm, Open MPI and on TPU pods.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(CommandFlags):
    """The flags of deeplab-dpc train."""

    workdir: str | None = flag(None, "Run directory; an interrupted run continues.")
    data: DataFlags
    network: NetworkFlags
    training: ConfigFields[TrainConfig] = fields_of(TrainConfig, title=lambda name: TITLES.get(name, "Training"))
    training_number_of_epochs: float | None = flag(
        None, "Number of passes over the training split, instead of --training_number_of_steps.", title="Training"
    )
    devices: DeviceFlags
    dry_run: bool = flag(
        False,
        "Only print the network by part and run one batch on one device, to estimate the loss, memory and "
        "time of the whole training.",
    )
    json: bool = json_flag()
