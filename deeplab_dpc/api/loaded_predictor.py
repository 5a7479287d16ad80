"""Predictors of loaded networks and exported models, with their classes, as the commands and the Python functions use
them.
"""

import dataclasses
import os
from collections.abc import Sequence

from deeplab_dpc.api.loaded import Loaded, LoadedModel, mean_of
from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.config import InferenceConfig
from deeplab_dpc.models.image_predictor import Ensemble, ImagePredictor
from deeplab_dpc.models.inference_network import inference_network
from deeplab_dpc.models.predictor import Predictor
from deeplab_dpc.models.segmenter import Segmenter
from deeplab_dpc.models.sliding_window import SlidingWindow


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadedPredictor(Loaded):
    """A predictor with its network.

    Attributes:
      predictor: predictor of class ids and probabilities.
      network: network as it was loaded; None for an exported model, and for the mean of several.
    """

    predictor: ImagePredictor
    network: Segmenter | None = None

    @property
    def cell(self) -> Cell | None:
        """Returns the cell of the network; None if there is no network, or it has no cell."""
        return None if self.network is None else self.network.config.dense_prediction_cell


def network_predictor(network: Segmenter, config: InferenceConfig) -> ImagePredictor:
    """Returns the network's predictor, with a sliding window if the configuration has one."""
    predictor = Predictor(inference_network(network, config), config)
    return SlidingWindow(predictor, config) if config.sliding_window else predictor


def predictor_of(loaded: LoadedModel, config: InferenceConfig) -> LoadedPredictor:
    """Returns the predictor of a loaded network with a configuration."""
    return LoadedPredictor(
        predictor=network_predictor(loaded.segmenter, config),
        class_names=loaded.class_names,
        palette=loaded.palette,
        ignore_label=loaded.ignore_label,
        source=loaded.source,
        portable_source=loaded.portable_source,
        workdir=loaded.workdir,
        network=loaded.segmenter,
        step=loaded.step,
    )


def predictor_of_export(path: str | os.PathLike[str], name: str, config: InferenceConfig) -> LoadedPredictor:
    """Returns the predictor of an exported model.

    Args:
      path: file, or directory of a SavedModel.
      name: name of the file in the source.
      config: configuration, of which only the sliding window is used: an exported model predicts as it was exported.

    Raises:
      UserError: if it is no exported model.
    """
    from deeplab_dpc.export.exported_model import load_exported_model  # it needs TensorFlow

    model = load_exported_model(path)
    return LoadedPredictor(
        predictor=SlidingWindow(model, config) if config.sliding_window else model,
        class_names=model.class_names,
        palette=model.palette,
        ignore_label=model.ignore_label,
        source=f"{name} ({model.source})",
    )


def ensemble_of(members: Sequence[LoadedPredictor], config: InferenceConfig) -> LoadedPredictor:
    """Returns the predictor that averages the probabilities of several.

    It has no run directory and no network of its own.

    Args:
      members: predictors without a sliding window.
      config: configuration of the prediction, whose sliding window is that of the mean, so that no member keeps the
        probabilities of a whole image.

    Raises:
      UserError: if their classes differ.
    """
    mean = Ensemble([member.predictor for member in members])
    return dataclasses.replace(
        members[0],
        predictor=SlidingWindow(mean, config) if config.sliding_window else mean,
        source=mean_of(members),
        portable_source="",
        workdir=None,
        network=None,
        step=None,
    )
