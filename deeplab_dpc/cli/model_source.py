"""The network of a command: that of a run directory, or that of a published checkpoint and the network flags; and the
predictor of a command, which is that network or an exported model, with its options.
"""

import dataclasses
import pathlib

from deeplab_dpc.api.loaded import (
    AS_EVALUATED,
    LoadedModel,
    as_evaluated,
    mean_of,
    model_of_checkpoint,
    model_of_run,
    network_of_run,
)
from deeplab_dpc.api.loaded_predictor import LoadedPredictor, ensemble_of, predictor_of, predictor_of_export
from deeplab_dpc.checkpoint.run_directory import LATEST
from deeplab_dpc.cli.flags.shared import NetworkFlags, PredictorFlags, SourceFlags, network_fields
from deeplab_dpc.config import InferenceConfig, ModelConfig
from deeplab_dpc.console import console
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.memory import INFERENCE_ADDRESSES, require_address_space


def run_directories(source: SourceFlags) -> list[str]:
    """Returns the run directories that --workdir names: one, several with commas between them, or none."""
    if not source.workdir:
        return []
    return [source.workdir] if pathlib.Path(source.workdir).exists() else source.workdir.split(",")


def load_models(source: SourceFlags) -> list[LoadedModel]:
    """Returns the networks that the flags name: several runs, whose probabilities are averaged, or one network.

    Raises:
      UserError: as raised by `load_model`, or if the classes of the runs differ.
    """
    runs = run_directories(source)
    if len(runs) < 2:
        return [load_model(source)]
    if source.checkpoint_path is not None:
        raise UserError(
            "Give either --workdir (runs of deeplab-dpc train) or --checkpoint_path (a published checkpoint)."
        )
    if source.restore_moving_averages:
        raise UserError("--restore_moving_averages is for --checkpoint_path; a run keeps no moving averages.")
    members = [model_from_run(pathlib.Path(run), source) for run in runs]
    mean_of(members)
    return members


def load_model(source: SourceFlags) -> LoadedModel:
    """Returns the network that the flags name.

    Raises:
      UserError: if neither or both sources are given, or several runs, or the checkpoint does not fit.
    """
    if len(run_directories(source)) > 1:
        raise UserError(
            f"--workdir={source.workdir} names several runs, which only eval, predict and export can average; give one."
        )
    if (source.workdir is None) == (source.checkpoint_path is None):
        raise UserError(
            "Give either --workdir (a run of deeplab-dpc train) or --checkpoint_path (a published checkpoint)."
        )
    if source.workdir is not None:
        if source.restore_moving_averages:
            raise UserError("--restore_moving_averages is for --checkpoint_path; a run keeps no moving averages.")
        return model_from_run(pathlib.Path(source.workdir), source)
    if source.run_checkpoint != LATEST:
        raise UserError("--run_checkpoint is for --workdir; --checkpoint_path names one checkpoint.")
    assert source.checkpoint_path is not None
    return model_of_checkpoint(
        source.checkpoint_path,
        source.network.given_fields(),
        source.classes,
        source.restore_moving_averages,
        log=console.print,
    )


def model_from_run(workdir: pathlib.Path, source: SourceFlags) -> LoadedModel:
    """Returns the network of a run, with the atrous rates and output stride that the flags may replace."""
    config = evaluated_network(network_of_run(workdir), source.network)
    return model_of_run(workdir, source.run_checkpoint, config)


def evaluated_network(config: ModelConfig, network: NetworkFlags) -> ModelConfig:
    """Returns the network of a run with the values that the flags replace, since atrous rates are not weights.

    Raises:
      UserError: for a flag that would make it a different network.
    """
    files = {
        "dense_prediction_cell_json": network.dense_prediction_cell_json,
        "genotype_json": network.genotype_json,
    }
    given = [name for name, value in files.items() if value is not None]
    given += [name for name in ("num_classes", *network_fields()) if name in network.fields.given]
    for name in given:
        if name not in AS_EVALUATED:
            raise UserError(
                f"--{name} cannot be given with --workdir; a run has the flags of its network, of which only "
                f"{' and '.join(f'--{each}' for each in AS_EVALUATED)} may be changed after its training. Leave "
                "it out."
            )
    return as_evaluated(config, network.fields.given_values())


def load_predictor(flags: PredictorFlags) -> LoadedPredictor:
    """Returns the predictor that the flags name.

    Raises:
      UserError: as raised by load_models; if an exported model is combined with a network or with scales, flips or a
        crop, since it has its own.
    """
    require_address_space(INFERENCE_ADDRESSES)
    config = flags.inference.make()
    if flags.exported_model is not None:
        return _exported(flags.exported_model, flags.source, config)
    models = load_models(flags.source)
    if len(models) == 1:
        return predictor_of(models[0], config)
    of_members = dataclasses.replace(config, sliding_window=())
    return ensemble_of([predictor_of(loaded, of_members) for loaded in models], config)


def _exported(path: str, source: SourceFlags, config: InferenceConfig) -> LoadedPredictor:
    if source.workdir is not None or source.checkpoint_path is not None:
        raise UserError("Give one of --workdir, --checkpoint_path and --exported_model.")
    default = InferenceConfig(sliding_window=config.sliding_window, window_overlap=config.window_overlap)
    if config != default:
        raise UserError(
            "--exported_model predicts as it was exported; of the flags of inference it takes only "
            "--sliding_window and --window_overlap."
        )
    return predictor_of_export(path, path, config)
