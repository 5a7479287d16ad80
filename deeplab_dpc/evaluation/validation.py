"""Evaluation of a network during its training, on a separate copy of the network, with panels of a few images."""

import dataclasses
import math
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from PIL import Image

from deeplab_dpc.checkpoint.names import named_variables
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.data.dataset_info import Dataset, DatasetInfo
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.class_sums import SUMMARIES, occurrence_note
from deeplab_dpc.evaluation.confusion import ConfusionMatrix
from deeplab_dpc.evaluation.counted_image import CountedImage
from deeplab_dpc.evaluation.evaluator import evaluate
from deeplab_dpc.evaluation.picture_rows import draw_legend, draw_row, example_pictures, legend_entries, stacked
from deeplab_dpc.models.predictor import Predictor
from deeplab_dpc.models.segmenter import build_segmenter

_Result = TypeVar("_Result")


class Panels:
    """Panels of one size for a few of the added examples, evenly spread over them.

    A panel is an image, its label and its prediction side by side, with a legend of the classes that occur.

    Args:
      info: names and colours of the classes.
      number: number of panels, >= 1.
      num_examples: number of examples that will be added, over which the panels are spread, since neighbours in a
        split often show the same scene.
    """

    def __init__(self, info: DatasetInfo, number: int, num_examples: int):
        if number < 1:
            raise UserError(f"`number` of panels must be >= 1, got {number}.")
        self.info = info
        self._waiting = sorted({i * num_examples // number for i in range(number)}, reverse=True)
        self._added = 0
        self._names: list[str] = []
        self._pictures: list[list[Image.Image]] = []  # (image, label, prediction) of each example
        self._ids: set[int] = set()

    def add(self, example: CountedImage) -> None:
        """Adds an example, which is kept if it is one of the panels; its name is the caption."""
        self._added += 1
        if not self._waiting or self._waiting[-1] != self._added - 1:
            return
        self._waiting.pop()
        self._names.append(example.name)
        self._pictures.append(example_pictures(self.info, example.image, example.label, example.prediction))
        self._ids |= {int(i) for ids in (example.label, example.prediction) for i in np.unique(ids)}

    def draw(self) -> np.ndarray:
        """Returns the panels, uint8 [number, height, width, 3]; fewer if fewer examples were added."""
        height = max(pictures[0].height for pictures in self._pictures)
        width = max(pictures[0].width for pictures in self._pictures)
        rows = [
            draw_row((name, "label", "prediction"), pictures, (height, width))
            for name, pictures in zip(self._names, self._pictures, strict=True)
        ]
        legend = draw_legend(legend_entries(self.info, self._ids), rows[0].width)
        return np.stack([np.asarray(stacked([row, legend])) for row in rows])


@dataclasses.dataclass(frozen=True)
class Validation:
    """The results of an evaluation during training.

    Attributes:
      scalars: miou, pixel_accuracy and mean_class_accuracy, each in [0, 1].
      per_class_iou: IoU by class name; None for a class in neither labels nor predictions.
      panels: panels of a few images with label and prediction, uint8 [number, height, width, 3].
      occurring: number of classes that occur in the labels, and of those that can occur; None if unknown.
    """

    scalars: dict[str, float]
    per_class_iou: dict[str, float | None]
    panels: np.ndarray
    occurring: tuple[int, int] | None = None

    @property
    def remark(self) -> str:
        """Returns a remark on the scores; empty if all classes occur."""
        return "" if self.occurring is None else occurrence_note(*self.occurring)


class Validator:
    """An evaluator of weights on its own float32 network on one device, built at the first call.

    Keras has precision, distribution and names per thread, and TensorFlow its strategy. The network is built and used
    in separate threads, in which all of these have their defaults, independent of the settings of the training.

    Args:
      model_config: configuration of the network.
      dataset: the prepared data set.
      split: name of the split to evaluate.
      num_panels: number of images in panels, spread over the split.
    """

    def __init__(self, model_config: ModelConfig, dataset: Dataset, split: str, num_panels: int = 4):
        self.model_config = model_config
        self.dataset = dataset
        self.split = split
        self.num_panels = num_panels
        self._predictor: Predictor | None = None

    def __call__(self, arrays: dict[str, np.ndarray]) -> Validation:
        """Evaluates the network with the given weights.

        Args:
          arrays: weights by published name.

        Raises:
          UserError: if an array is absent or has another shape, or as for `evaluate`.
        """
        panels = Panels(self.dataset.info, self.num_panels, self.dataset.num_images(self.split))
        confusion = _in_thread(lambda: self._evaluate(arrays, panels))
        sums, info = confusion.sums(), self.dataset.info
        scalars = {name: float(SUMMARIES[name](sums)) for name in ("miou", "pixel_accuracy", "mean_class_accuracy")}
        iou = zip(info.class_names, sums.per_class_iou().tolist(), strict=True)
        per_class_iou = {name: None if math.isnan(value) else value for name, value in iou}
        return Validation(scalars, per_class_iou, panels.draw(), sums.occurring(info.ignore_label))

    def _evaluate(self, arrays: dict[str, np.ndarray], panels: Panels) -> ConfusionMatrix:
        if self._predictor is None:
            # Initializers draw their seeds from Python's generator, which all threads share.
            state = random.getstate()
            self._predictor = Predictor(build_segmenter(self.model_config))
            random.setstate(state)
        for name, variable in named_variables(self._predictor.segmenter).items():
            if name not in arrays or arrays[name].shape != tuple(variable.shape):
                raise UserError(f"The weights do not fit the network: {name} is absent or has another shape.")
            variable.assign(arrays[name])
        return evaluate(self._predictor, self.dataset, self.split, progress=False, on_image=[panels.add])


def _in_thread(function: Callable[[], _Result]) -> _Result:
    """Returns the result of `function`, called in a new thread; raises its error."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(function).result()
