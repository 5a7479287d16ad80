"""The images with the lowest mean IoU, as a page with their labels, predictions and errors."""

import bisect
import dataclasses

import numpy as np
from PIL import Image, ImageDraw

from deeplab_dpc.data.captions import caption_font, fitting
from deeplab_dpc.data.dataset_info import DatasetInfo
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.confusion import ConfusionMatrix
from deeplab_dpc.evaluation.counted_image import CountedImage
from deeplab_dpc.evaluation.picture_rows import (
    BACKGROUND,
    GAP,
    IGNORED_COLOR,
    INK,
    LINE,
    draw_legend,
    draw_row,
    example_pictures,
    legend_entries,
    row_width,
    scaled,
    stacked,
)

WRONG_COLOR = (235, 30, 30)
GREY_WEIGHT = 0.6  # of the image's brightness below its errors, so that ignored and wrong pixels stand out
HEADING_SIZE = 15  # pixels
CELL_WIDTH = 260  # pixels; smallest width, for the captions of narrow pictures

_COLUMNS = 4  # image, label, prediction, errors


@dataclasses.dataclass(frozen=True)
class _Example:
    """An image on the page.

    Attributes:
      score: mean IoU of the image.
      heading: text above the image: its name, score and worst class.
      wrong: fraction of the labelled pixels that are predicted wrong.
      pictures: pictures of image, label, prediction and errors.
      ids: class ids in the label and the prediction.
    """

    score: float
    heading: str
    wrong: float
    pictures: list[Image.Image]
    ids: frozenset[int]


class WorstImages:
    """The images with the lowest scores, with their pictures; other images are not kept.

    The score is the mean IoU over the classes that occur in the image's label or prediction, without ignored pixels.
    Images without a labelled pixel have no score and are skipped.

    Args:
      info: names and colours of the classes.
      number: largest number of images on the page, >= 1.
    """

    def __init__(self, info: DatasetInfo, number: int):
        if number < 1:
            raise UserError(f"`number` of images must be >= 1, got {number}.")
        self.info = info
        self.number = number
        self._kept: list[_Example] = []  # the worst first; of equal scores, the earlier image first

    def add(self, counted: CountedImage) -> None:
        """Scores an image and keeps it if it is among the worst so far."""
        confusion = counted.confusion
        if not confusion.matrix.any():
            return
        score = confusion.mean_iou()
        if len(self._kept) == self.number and score >= self._kept[-1].score:
            return
        maps = counted.image, counted.label, counted.prediction
        example = _Example(
            score,
            f"{counted.name}: mean IoU {score:.3f}; {_costliest_class(confusion, self.info)}",
            1 - confusion.pixel_accuracy(),
            [*example_pictures(self.info, *maps), self._errors(*maps)],
            frozenset(np.unique(counted.label).tolist()) | frozenset(np.unique(counted.prediction).tolist()),
        )
        bisect.insort(self._kept, example, key=lambda kept: kept.score)
        del self._kept[self.number :]

    def draw(self) -> np.ndarray:
        """Returns the page, uint8 [height, width, 3]: one row per image, the worst first, and a legend.

        Raises:
          UserError: if no image had a labelled pixel.
        """
        if not self._kept:
            raise UserError("There are no worst images to draw: none was given, or none has a labelled pixel.")
        width = max(CELL_WIDTH, *(example.pictures[0].width for example in self._kept))
        rows = [self._row(number, example, width) for number, example in enumerate(self._kept, start=1)]
        ids = frozenset.union(*(example.ids for example in self._kept))
        entries = [*legend_entries(self.info, ids), (WRONG_COLOR, "wrong (in errors)")]
        return np.asarray(stacked([*rows, draw_legend(entries, row_width(_COLUMNS, width))], gap=2 * GAP))

    def _row(self, number: int, example: _Example, width: int) -> Image.Image:
        font = caption_font(HEADING_SIZE)
        heading = Image.new("RGB", (row_width(_COLUMNS, width), LINE + GAP), BACKGROUND)
        text = fitting(f"{number}. {example.heading}", font, heading.width - 2 * GAP)
        ImageDraw.Draw(heading).text((GAP, 3), text, INK, font)
        captions = ("image", "label", "prediction", f"errors: {100 * example.wrong:.1f} % of the labelled pixels")
        row = draw_row(captions, example.pictures, (example.pictures[0].height, width))
        return stacked([heading, row], gap=0)

    def _errors(self, image: np.ndarray, label: np.ndarray, prediction: np.ndarray) -> Image.Image:
        """Returns the image in grey, with wrong pixels in WRONG_COLOR and ignored pixels in IGNORED_COLOR."""
        grey = GREY_WEIGHT * np.asarray(Image.fromarray(image).convert("L"), np.float32)
        pixels = np.repeat(np.rint(grey).astype(np.uint8)[..., np.newaxis], 3, axis=-1)
        pixels[label != prediction] = WRONG_COLOR
        pixels[label == self.info.ignore_label] = IGNORED_COLOR
        return scaled(pixels, Image.Resampling.BOX)


def _costliest_class(confusion: ConfusionMatrix, info: DatasetInfo) -> str:
    """Returns a remark on the class that lowers the mean most: the class with the lowest IoU, and of several with equal
    IoU the one with the most wrong pixels.
    """
    iou, matrix = confusion.sums().per_class_iou(), confusion.matrix
    wrong = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * np.diagonal(matrix)
    if not wrong.any():
        return "no pixel is wrong"
    worst = int(np.lexsort((-wrong, iou))[0])  # nan, of absent classes, comes last
    missed, added = matrix[worst].copy(), matrix[:, worst].copy()
    missed[worst] = added[worst] = 0
    if np.max(missed) >= np.max(added):
        confused = f"mostly predicted as {info.class_names[int(np.argmax(missed))]}"
    else:
        confused = f"mostly predicted where {info.class_names[int(np.argmax(added))]} is"
    return f"{info.class_names[worst]} lowers the mean most, IoU {iou[worst]:.3f}, {confused}"
