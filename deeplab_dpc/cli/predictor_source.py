"""The predictor of a command: the network of a run or a published checkpoint, or an exported model, with its
options.
"""

from deeplab_dpc.api.loaded_predictor import LoadedPredictor, ensemble_of, predictor_of, predictor_of_export
from deeplab_dpc.cli.flags.shared import PredictorFlags, SourceFlags
from deeplab_dpc.cli.model_source import load_models
from deeplab_dpc.config import InferenceConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.memory import INFERENCE_ADDRESSES, require_address_space


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
    members = [predictor_of(loaded, config) for loaded in load_models(flags.source)]
    return members[0] if len(members) == 1 else ensemble_of(members)


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
