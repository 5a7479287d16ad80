"""Overlays with a legend of their classes below, for pictures and for the frames of a video."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from deeplab_dpc.console import printable
from deeplab_dpc.data.dataset_info import Color
from deeplab_dpc.evaluation.picture_rows import BACKGROUND, GAP, draw_legend, entry_width, stacked
from deeplab_dpc.evaluation.visualize import overlay

TEXT_SHARE = 800  # pixels of width for which the smallest text is large enough; wider pictures have larger ones


class Overlays:
    """Predictions over their images, with the classes that occur.

    Args:
      class_names, palette: class names and palette of the classes.
      legend: whether there is one.
    """

    def __init__(self, class_names: Sequence[str], palette: Sequence[Color], legend: bool = True):
        self.palette = palette
        self.legend = legend
        self._entries = list(zip(palette, map(printable, class_names), strict=True))

    def draw(self, image: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Returns the overlay, uint8 [height and that of the legend, width, 3]; wider where a class name needs it.

        Args:
          image: uint8 [height, width, 3].
          ids: class ids [height, width].
        """
        blended = overlay(image, ids, self.palette)
        if not self.legend:
            return blended
        entries = [self._entries[i] for i in np.unique(ids)]
        scale = _text_scale(image)
        width = max(image.shape[1], GAP * scale + entry_width(entries, scale))
        return _below(blended, draw_legend(entries, width, scale))

    def draw_frame(self, image: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Returns the overlay of a frame, whose size is the same for all frames of a video.

        The legend has all classes, so that it stays as it is. Where they would take more than half the frame's height,
        it has those that occur, as far as there is place.
        """
        blended = overlay(image, ids, self.palette)
        if not self.legend:
            return blended
        scale = _text_scale(image)
        width = max(image.shape[1], GAP * scale + entry_width(self._entries, scale))
        legend = draw_legend(self._entries, width, scale)
        place = image.shape[0] // 2
        if legend.height > place:
            legend = draw_legend([self._entries[i] for i in np.unique(ids)], width, scale)
            canvas = Image.new("RGB", (width, place), BACKGROUND)
            canvas.paste(legend)
            legend = canvas
        return _below(blended, legend)


def _text_scale(image: np.ndarray) -> int:
    scale: int = max(1, round(image.shape[1] / TEXT_SHARE))
    return scale


def _below(blended: np.ndarray, legend: Image.Image) -> np.ndarray:
    picture = Image.new("RGB", (legend.width, blended.shape[0]), BACKGROUND)
    picture.paste(Image.fromarray(blended))
    return np.asarray(stacked([picture, legend], gap=GAP))
