"""The predictor of a command: the network of a run or a published checkpoint, or an exported model, with its
options.
"""

from absl import flags

from deeplab_dpc.api.loaded import LoadedPredictor, ensemble_of, predictor_of
from deeplab_dpc.cli import flag_groups
from deeplab_dpc.cli.model_source import load_models
from deeplab_dpc.config import InferenceConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.memory import INFERENCE_ADDRESSES, require_address_space
from deeplab_dpc.models.sliding_window import SlidingWindow


def load_predictor(values: flags.FlagValues) -> LoadedPredictor:
    """Returns the predictor that the flags name.

    Raises:
      UserError: as raised by load_models; if an exported model is combined with a network or with scales, flips or a
        crop, since it has its own.
    """
    require_address_space(INFERENCE_ADDRESSES)
    config = flag_groups.config_from_flags(InferenceConfig, values)
    if values.exported_model is not None:
        return _exported(values, config)
    members = [predictor_of(loaded, config) for loaded in load_models(values)]
    return members[0] if len(members) == 1 else ensemble_of(members)


def _exported(values: flags.FlagValues, config: InferenceConfig) -> LoadedPredictor:
    from deeplab_dpc.export.exported_model import load_exported_model  # it needs TensorFlow

    if values.workdir is not None or values.checkpoint_path is not None:
        raise UserError("Give one of --workdir, --checkpoint_path and --exported_model.")
    default = InferenceConfig(sliding_window=config.sliding_window, window_overlap=config.window_overlap)
    if config != default:
        raise UserError(
            "--exported_model predicts as it was exported; of the flags of inference it takes only "
            "--sliding_window and --window_overlap."
        )
    model = load_exported_model(values.exported_model)
    return LoadedPredictor(
        SlidingWindow(model, config) if config.sliding_window else model,
        model.class_names,
        model.palette,
        model.ignore_label,
        f"{values.exported_model} ({model.source})",
        None,
        None,
    )
