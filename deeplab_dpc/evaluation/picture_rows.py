"""Parts of pictures of predictions: pictures side by side with captions, and a legend of classes below them."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from deeplab_dpc.console import printable
from deeplab_dpc.data.captions import caption_font, fitting
from deeplab_dpc.data.dataset_info import Color, DatasetInfo
from deeplab_dpc.evaluation.visualize import colorize

PICTURE_SIDE = 392  # pixels; no side of a picture in a row is larger
FONT_SIZE = 12  # pixels
IGNORED_COLOR = (255, 255, 255)
GAP, LINE = 6, 20  # pixels: between pictures, and height of a line of text
BACKGROUND, INK = (32, 32, 32), (235, 235, 235)

_SWATCH = 12  # pixels


def scaled(pixels: np.ndarray, resample: Image.Resampling) -> Image.Image:
    """Returns pixels, uint8 [height, width, 3], as a picture, scaled down if a side is larger than PICTURE_SIDE."""
    height, width = pixels.shape[:2]
    scale = min(1.0, PICTURE_SIDE / max(height, width))
    return Image.fromarray(pixels).resize((max(1, round(width * scale)), max(1, round(height * scale))), resample)


def example_pictures(
    info: DatasetInfo, image: np.ndarray, label: np.ndarray, prediction: np.ndarray
) -> list[Image.Image]:
    """Returns pictures of an image, uint8 [height, width, 3], its label and its prediction, class ids [height,
    width].
    """
    palette = [IGNORED_COLOR if i == info.ignore_label else color for i, color in enumerate(info.palette)]
    colors = [colorize(ids, palette, IGNORED_COLOR) for ids in (label, prediction)]
    return [
        scaled(image, Image.Resampling.BILINEAR),
        *(scaled(color, Image.Resampling.NEAREST) for color in colors),
    ]


def draw_row(captions: Sequence[str], pictures: Sequence[Image.Image], cell: tuple[int, int]) -> Image.Image:
    """Returns pictures side by side, each at the upper left of its cell, below its caption.

    Args:
      captions: caption of each picture.
      pictures: the pictures, not larger than the cell.
      cell: (height, width) of each cell in pixels, without the caption.
    """
    height, width = cell
    canvas = Image.new("RGB", (row_width(len(pictures), width), LINE + height), BACKGROUND)
    draw, font = ImageDraw.Draw(canvas), caption_font(FONT_SIZE)
    for column, (caption, picture) in enumerate(zip(captions, pictures, strict=True)):
        left = GAP + column * (width + GAP)
        draw.text((left, 2), fitting(caption, font, width), INK, font)
        canvas.paste(picture, (left, LINE))
    return canvas


def row_width(columns: int, width: int) -> int:
    """Returns the width in pixels of a row of `columns` pictures in cells of `width` pixels."""
    return columns * (width + GAP) + GAP


def legend_entries(info: DatasetInfo, ids: Iterable[int]) -> list[tuple[Color, str]]:
    """Returns the colour and the name of each id, a class or the ignore label, in the order of the ids."""
    names = dict(enumerate(map(printable, info.class_names))) | {info.ignore_label: "ignored"}
    colors = dict(enumerate(info.palette)) | {info.ignore_label: IGNORED_COLOR}
    return [(colors[i], names[i]) for i in sorted(ids)]


def draw_legend(entries: Sequence[tuple[Color, str]], width: int, scale: int = 1) -> Image.Image:
    """Returns a legend of swatches and texts, with as many lines as the entries need.

    Args:
      entries: (colour, text) of each entry.
      width: width of the legend in pixels.
      scale: factor of the sizes of texts and gaps.
    """
    font = caption_font(FONT_SIZE * scale)
    gap, line, swatch = GAP * scale, LINE * scale, _SWATCH * scale
    column_width = entry_width(entries, scale)
    columns = max(1, (width - gap) // column_width)
    canvas = Image.new("RGB", (width, math.ceil(len(entries) / columns) * line), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for number, (color, text) in enumerate(entries):
        left, top = gap + number % columns * column_width, number // columns * line + 2 * scale
        draw.rectangle([left, top, left + swatch, top + swatch], color, outline=INK)
        draw.text((left + swatch + gap, top), text, INK, font)
    return canvas


def entry_width(entries: Sequence[tuple[Color, str]], scale: int = 1) -> int:
    """Returns the width in pixels of the widest entry in a legend."""
    font = caption_font(FONT_SIZE * scale)
    return max(math.ceil(font.getlength(text)) for _, text in entries) + (_SWATCH + 3 * GAP) * scale


def stacked(pictures: Sequence[Image.Image], gap: int = GAP) -> Image.Image:
    """Returns pictures of one width below each other, with `gap` pixels between them."""
    height = sum(picture.height + gap for picture in pictures) - gap
    canvas = Image.new("RGB", (pictures[0].width, height), BACKGROUND)
    top = 0
    for picture in pictures:
        canvas.paste(picture, (0, top))
        top += picture.height + gap
    return canvas
