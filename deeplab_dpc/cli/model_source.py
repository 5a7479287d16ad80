"""The network of a command: that of a run directory, or a published checkpoint with its flags."""

import pathlib

from absl import flags

from deeplab_dpc.api.loaded import (
    AS_EVALUATED,
    LoadedModel,
    as_evaluated,
    mean_of,
    model_of_checkpoint,
    model_of_run,
    network_of_run,
)
from deeplab_dpc.checkpoint.run_directory import LATEST
from deeplab_dpc.cli import flag_groups
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.console import console
from deeplab_dpc.errors import UserError


def run_directories(values: flags.FlagValues) -> list[str]:
    """Returns the run directories that --workdir names: one, several with commas between them, or none."""
    if not values.workdir:
        return []
    return [values.workdir] if pathlib.Path(values.workdir).exists() else values.workdir.split(",")


def load_models(values: flags.FlagValues) -> list[LoadedModel]:
    """Returns the networks that the flags name: several runs, whose probabilities are averaged, or one network.

    Raises:
      UserError: as load_model, or if the classes of the runs differ.
    """
    runs = run_directories(values)
    if len(runs) < 2:
        return [load_model(values)]
    if values.checkpoint_path is not None:
        raise UserError("Give either --workdir (runs of train.py) or --checkpoint_path (a published checkpoint).")
    members = [model_from_run(pathlib.Path(run), values) for run in runs]
    mean_of(members)
    return members


def load_model(values: flags.FlagValues) -> LoadedModel:
    """Returns the network that the flags name.

    Raises:
      UserError: if neither or both sources are given, or several runs, or the checkpoint does not fit.
    """
    if len(run_directories(values)) > 1:
        raise UserError(
            f"--workdir={values.workdir} names several runs, whose mean only eval, predict and export take; give one."
        )
    if (values.workdir is None) == (values.checkpoint_path is None):
        raise UserError("Give either --workdir (a run of train.py) or --checkpoint_path (a published checkpoint).")
    if values.workdir is not None:
        if values.restore_moving_averages:
            raise UserError("--restore_moving_averages is for --checkpoint_path; a run keeps no moving averages.")
        return model_from_run(pathlib.Path(values.workdir), values)
    if values.run_checkpoint != LATEST:
        raise UserError("--run_checkpoint is for --workdir; --checkpoint_path names one checkpoint.")
    return model_of_checkpoint(
        values.checkpoint_path,
        flag_groups.given_model_fields(values),
        values.classes,
        values.restore_moving_averages,
        say=console.print,
    )


def model_from_run(workdir: pathlib.Path, values: flags.FlagValues) -> LoadedModel:
    """Returns the network of a run, with the atrous rates and output stride that the flags may replace."""
    config = evaluated_network(network_of_run(workdir), values)
    return model_of_run(workdir, values.run_checkpoint, config)


def evaluated_network(config: ModelConfig, values: flags.FlagValues) -> ModelConfig:
    """Returns the network of a run with the values that the flags replace, since atrous rates are not weights.

    Raises:
      UserError: for a flag that would make it a different network.
    """
    names = ("num_classes", "dense_prediction_cell_json", "genotype_json", *flag_groups.model_flags())
    given = [name for name in names if not values[name].using_default_value]
    for name in given:
        if name not in AS_EVALUATED:
            raise UserError(
                f"--{name} cannot be given with --workdir; a run has the flags of its network, of which only "
                f"{' and '.join(f'--{each}' for each in AS_EVALUATED)} may be changed after its training. Leave "
                "it out."
            )
    replaced = flag_groups.config_from_flags(ModelConfig, values, num_classes=config.num_classes) if given else config
    return as_evaluated(config, {name: getattr(replaced, name) for name in given})
