"""Trains a segmentation network on a prepared data set, in a run directory that continues by itself."""

import dataclasses

from absl import flags

from deeplab_dpc.cli import flag_groups
from deeplab_dpc.cli.flag_help import concerning
from deeplab_dpc.cli.flags.shared import define_json_flag
from deeplab_dpc.config import TrainConfig

# The fields of TrainConfig that stand under other titles than Training in the help.
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
    "seed",
    "optimizer",
    "learning_policy",
    "base_learning_rate",
    "weight_decay",
    "label_weights",
    "dry_run",
    "num_clones",
)  # in --help; the others are in --helpfull


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of train.py."""
    flags.DEFINE_string("workdir", None, "Run directory; an interrupted run continues.", flag_values=values)
    flag_groups.define_data_flags(values)
    flag_groups.define_model_flags(values)
    define_training_flags(values)
    define_device_flags(values)
    flags.DEFINE_bool(
        "dry_run",
        False,
        "Only print the network by part, and run one batch on one device, to estimate loss, memory and "
        "time of the whole training.",
        flag_values=values,
    )
    define_json_flag(values)


def define_training_flags(values: flags.FlagValues) -> None:
    """Defines the flags of TrainConfig."""
    titled = {**dict.fromkeys(OF_OPTIMIZER, "Optimizer"), **dict.fromkeys(OF_LOSS, "Loss")}
    for field in dataclasses.fields(TrainConfig):
        with concerning(values, titled.get(field.name, "Training")):
            flag_groups.define_config_flags(values, TrainConfig, [field.name])
    with concerning(values, "Training"):
        flags.DEFINE_float(
            "training_number_of_epochs",
            None,
            "Number of passes over the training split, instead of --training_number_of_steps.",
            flag_values=values,
        )


def define_device_flags(values: flags.FlagValues) -> None:
    """Defines --num_clones, --num_replicas, --task and --master."""
    with concerning(values, "Devices"):
        flags.DEFINE_integer(
            "num_clones",
            None,
            "Number of devices of this process that train together; by default all its GPUs or TPUs, or the one CPU.",
            flag_values=values,
        )
        flags.DEFINE_integer(
            "num_replicas", None, "Number of processes that train together (--backend=jax).", flag_values=values
        )
        flags.DEFINE_integer("task", None, "Index of this process, from 0 on.", flag_values=values)
        flags.DEFINE_string(
            "master",
            None,
            "HOST:PORT of process 0, with --num_replicas and --task; or auto, under Slurm, Open MPI and on TPU pods.",
            flag_values=values,
        )
