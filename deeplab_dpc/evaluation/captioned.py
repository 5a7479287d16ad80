"""Overlays with a legend of their classes below, for pictures and for the frames of a video."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from deeplab_dpc.console import printable
from deeplab_dpc.data.dataset_info import Color
from deeplab_dpc.evaluation.picture_rows import BACKGROUND, GAP, draw_legend, entry_width, stacked
from deeplab_dpc.evaluation.visualize import overlay

TEXT_SHARE = 800  # width in pixels for which the smallest text is large enough; wider pictures have larger text


class Overlays:
    """A drawer of predictions over their images, with a legend of the classes that occur.

    Args:
      class_names, palette: names and colours by class id.
      legend: bool, whether to draw the legend.
    """

    def __init__(self, class_names: Sequence[str], palette: Sequence[Color], legend: bool = True):
        self.palette = palette
        self.legend = legend
        self._entries = list(zip(palette, map(printable, class_names), strict=True))

    def draw(self, image: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Returns the overlay above its legend, uint8 [height, width, 3]; wider than the image for long class names.

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
        """Returns the overlay of a frame, which has the same size for all frames of a video.

        The legend contains all classes, so that it does not change. If they need more than half the height of the
        frame, it contains only the classes that occur, as far as there is space.
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
