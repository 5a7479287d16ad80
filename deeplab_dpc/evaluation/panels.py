"""Panels: an image, its label and its prediction side by side, with a legend of the classes that occur."""

import numpy as np
from PIL import Image

from deeplab_dpc.data.dataset_info import DatasetInfo
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.counted_image import CountedImage
from deeplab_dpc.evaluation.picture_rows import draw_legend, draw_row, example_pictures, legend_entries, stacked


class Panels:
    """Panels of one size for a few of the added examples, evenly spread over them.

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
