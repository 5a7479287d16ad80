"""What predicts in a command: a run's network, a published checkpoint's, or an exported model; and how it predicts."""

import dataclasses
import pathlib

from absl import flags

from deeplab_dpc.cli import flag_groups
from deeplab_dpc.cli.model_source import LoadedModel, load_model
from deeplab_dpc.config import InferenceConfig
from deeplab_dpc.data.dataset_info import Color
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.image_predictor import ImagePredictor
from deeplab_dpc.models.inference_network import inference_network
from deeplab_dpc.models.memory import INFERENCE_ADDRESSES, require_address_space
from deeplab_dpc.models.predictor import Predictor
from deeplab_dpc.models.segmenter import Segmenter
from deeplab_dpc.models.sliding_window import SlidingWindow


@dataclasses.dataclass(frozen=True)
class LoadedPredictor:
    """What predicts, with what is known of its classes.

    Attributes:
      predictor: it.
      class_names, palette, ignore_label: of the classes.
      source: where the weights come from, in words.
      workdir: the run directory, or None.
      network: as it was loaded, None for an exported model.
      step: how long the run had trained then; None for what is no run.
    """

    predictor: ImagePredictor
    class_names: tuple[str, ...]
    palette: tuple[Color, ...]
    ignore_label: int
    source: str
    workdir: pathlib.Path | None
    network: Segmenter | None
    step: int | None = None


def load_predictor(values: flags.FlagValues) -> LoadedPredictor:
    """What the flags name.

    Raises:
      UserError: as load_model; if an exported model is given with a network or with scales, flips or a crop, which it
        has its own of.
    """
    require_address_space(INFERENCE_ADDRESSES)
    config = flag_groups.config_from_flags(InferenceConfig, values)
    if values.exported_model is not None:
        return _exported(values, config)
    loaded = load_model(values)
    return LoadedPredictor(
        network_predictor(loaded, config),
        loaded.class_names,
        loaded.palette,
        loaded.ignore_label,
        loaded.source,
        loaded.workdir,
        loaded.segmenter,
        loaded.step if loaded.workdir else None,
    )


def network_predictor(loaded: LoadedModel, config: InferenceConfig) -> ImagePredictor:
    """The network's predictor, by windows if the configuration says so."""
    network = inference_network(loaded.segmenter, config)
    predictor = Predictor(network, config)
    return SlidingWindow(predictor, config) if config.sliding_window else predictor


def _exported(values: flags.FlagValues, config: InferenceConfig) -> LoadedPredictor:
    from deeplab_dpc.export.exported_model import load_exported_model  # it needs TensorFlow

    if values.workdir is not None or values.checkpoint_path is not None:
        raise UserError("Give one of --workdir, --checkpoint_path and --exported_model.")
    default = InferenceConfig(sliding_window=config.sliding_window, window_overlap=config.window_overlap)
    if config != default:
        raise UserError(
            "--exported_model predicts as it was exported; of the flags of inference only --sliding_window and "
            "--window_overlap go with it."
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
