"""The computation of exports: the prediction of a network, or the mean of several, as functions of tensors."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self

from deeplab_dpc.config import InferenceConfig
from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.types import Tensor
from deeplab_dpc.models.image_predictor import Ensemble, ImagePredictor
from deeplab_dpc.models.inference_network import inference_network
from deeplab_dpc.models.predictor import Predictor
from deeplab_dpc.models.segmenter import Segmenter


class GraphPredictor(ImagePredictor, Protocol):
    """An ImagePredictor that also predicts tensors [batch, height, width, 3] with values 0..255, of any dtype.

    Attributes:
      config: scales, flips and padding of the prediction.
    """

    config: InferenceConfig

    @property
    def averages(self) -> bool:
        """Returns whether the prediction is a mean of probabilities."""

    @property
    def class_ids(self) -> Callable[[Any], Tensor]:
        """Returns the function from images to class ids [batch, height, width]."""

    @property
    def probabilities(self) -> Callable[[Any], Tensor]:
        """Returns the function from images to probabilities float32 [batch, height, width, num_classes]."""

    def scores(self, images: Tensor) -> Tensor:
        """Returns scores [batch, height, width, num_classes]; the predicted class has the largest one."""

    def changed(self, change: Callable[[Segmenter], Any]) -> Self:
        """Returns this prediction with every network replaced by `change(network)`."""


class GraphEnsemble(Ensemble):
    """The mean of the probabilities of several networks; a GraphPredictor.

    Args:
      members: predictors of the same classes, with one configuration.
    """

    def __init__(self, members: Sequence[Predictor]):
        super().__init__(members)
        self.predictors = tuple(members)
        self.config = members[0].config

    @property
    def averages(self) -> bool:
        """Returns True."""
        return True

    def class_ids(self, images: Tensor) -> Tensor:
        """Returns class ids [batch, height, width]."""
        return kernels.argmax(self.probabilities(images))

    def probabilities(self, images: Tensor) -> Tensor:
        """Returns probabilities float32 [batch, height, width, num_classes]."""
        total: Any = None
        for predictor in self.predictors:
            # One network after another, so that memory does not grow with their number.
            source = images if total is None else kernels.after(images, total)
            own = predictor.probabilities(source)
            total = own if total is None else total + own
        return total / len(self.predictors)

    def scores(self, images: Tensor) -> Tensor:
        """Returns the probabilities."""
        return self.probabilities(images)

    def changed(self, change: Callable[[Segmenter], Any]) -> "GraphEnsemble":
        """Returns this prediction with every network replaced by `change(network)`."""
        return GraphEnsemble([predictor.changed(change) for predictor in self.predictors])


def graph_predictor(networks: Sequence[Segmenter], config: InferenceConfig) -> GraphPredictor:
    """Returns the predictor of a network, or of the mean of several, with the given configuration."""
    predictors = [Predictor(inference_network(network, config), config) for network in networks]
    return predictors[0] if len(predictors) == 1 else GraphEnsemble(predictors)
