"""Panels: an image, its label and its prediction side by side, with the colours of the classes that occur."""

import math

import numpy as np
from PIL import Image, ImageDraw

from deeplab_dpc.data.captions import caption_font, fitting
from deeplab_dpc.data.dataset_info import DatasetInfo
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.visualize import colorize

PICTURE_SIDE = 392  # pixels; no side of a picture in a panel is larger
FONT_SIZE = 12  # pixels
IGNORED_COLOR = (255, 255, 255)

_GAP, _LINE, _SWATCH = 6, 20, 12  # pixels
_BACKGROUND, _INK = (32, 32, 32), (235, 235, 235)


class Panels:
    """Some of the examples that are added, spread evenly over them, as panels of one size.

    Args:
      info: names and colours of the classes.
      number: of panels, >= 1.
      num_examples: how many will be added; neighbours in a split often show the same scene.
    """

    def __init__(self, info: DatasetInfo, number: int, num_examples: int):
        if number < 1:
            raise UserError(f"`number` of panels must be >= 1, got {number}.")
        self.info = info
        self._waiting = sorted({i * num_examples // number for i in range(number)}, reverse=True)
        self._added = 0
        self._names: list[str] = []
        self._pictures: list[list[Image.Image]] = []  # of each example: image, label, prediction
        self._ids: set[int] = set()

    def add(self, name: str, image: np.ndarray, label: np.ndarray, prediction: np.ndarray) -> None:
        """Takes an example, or leaves it out.

        Args:
          name: shown above it.
          image: uint8 [height, width, 3].
          label: class ids [height, width].
          prediction: the same of the network.
        """
        self._added += 1
        if not self._waiting or self._waiting[-1] != self._added - 1:
            return
        self._waiting.pop()
        height, width = label.shape
        scale = min(1.0, PICTURE_SIDE / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        colors = [colorize(ids, self.info.palette, IGNORED_COLOR) for ids in (label, prediction)]
        self._names.append(name)
        self._pictures.append(
            [
                Image.fromarray(image).resize(size, Image.Resampling.BILINEAR),
                *(Image.fromarray(color).resize(size, Image.Resampling.NEAREST) for color in colors),
            ]
        )
        self._ids |= {int(i) for i in np.unique(label)} | {int(i) for i in np.unique(prediction)}

    def draw(self) -> np.ndarray:
        """The panels, uint8 [number, height, width, 3]; fewer where fewer examples were added."""
        width = max(pictures[0].width for pictures in self._pictures)
        height = max(pictures[0].height for pictures in self._pictures)
        legend = self._legend(3 * (width + _GAP) + _GAP)
        panels = [
            self._panel(name, pictures, legend, width, height)
            for name, pictures in zip(self._names, self._pictures, strict=True)
        ]
        return np.stack(panels)

    def _panel(self, name: str, pictures: list[Image.Image], legend: Image.Image, width: int, height: int):
        canvas = Image.new("RGB", (legend.width, _LINE + height + _GAP + legend.height), _BACKGROUND)
        draw, font = ImageDraw.Draw(canvas), caption_font(FONT_SIZE)
        for column, (caption, picture) in enumerate(zip((name, "label", "prediction"), pictures, strict=True)):
            left = _GAP + column * (width + _GAP)
            draw.text((left, 2), fitting(caption, font, width), _INK, font)
            canvas.paste(picture, (left, _LINE))
        canvas.paste(legend, (0, canvas.height - legend.height))
        return np.asarray(canvas)

    def _legend(self, width: int) -> Image.Image:
        """The classes that occur in any panel, in as many rows of that width as they need."""
        font = caption_font(FONT_SIZE)
        names = dict(enumerate(self.info.class_names)) | {self.info.ignore_label: "ignored"}
        colors = dict(enumerate(self.info.palette)) | {self.info.ignore_label: IGNORED_COLOR}
        ids = sorted(self._ids)
        entry_width = max(math.ceil(font.getlength(names[i])) for i in ids) + _SWATCH + 3 * _GAP
        columns = max(1, (width - _GAP) // entry_width)
        canvas = Image.new("RGB", (width, math.ceil(len(ids) / columns) * _LINE), _BACKGROUND)
        draw = ImageDraw.Draw(canvas)
        for number, i in enumerate(ids):
            left, top = _GAP + number % columns * entry_width, number // columns * _LINE + 2
            draw.rectangle([left, top, left + _SWATCH, top + _SWATCH], colors[i], outline=_INK)
            draw.text((left + _SWATCH + _GAP, top), names[i], _INK, font)
        return canvas
