"""A contact sheet: images of a data set beside their labels, in one picture with a legend. Needs no TensorFlow."""

import dataclasses
import math
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from deeplab_dpc.console import printable
from deeplab_dpc.data.captions import Font, caption_font, fitting
from deeplab_dpc.data.dataset_info import Color, DatasetInfo
from deeplab_dpc.files import atomic_path

TILES_PER_ROW = 4
TILE_SIDE = 240  # pixels; the largest side of a tile's image
IGNORED_COLOR, WRONG_COLOR = (255, 255, 255), (255, 0, 255)
FONT_SIZE = 13  # pixels
LABEL_WEIGHT = 0.6  # weight of the label's colours in the overlay

_MARGIN, _LINE, _SWATCH = 12, 20, 14  # pixels
_BACKGROUND, _INK = (32, 32, 32), (235, 235, 235)
_NUM_IDS = 256


@dataclasses.dataclass(frozen=True)
class Tile:
    """An example, scaled for the contact sheet.

    Attributes:
      image: image, uint8 [height, width, 3], with no side above TILE_SIDE.
      label: class ids, uint8 of the same height and width; None if there is no label that fits.
    """

    image: np.ndarray
    label: np.ndarray | None


def make_tile(image: np.ndarray, label: np.ndarray | None) -> Tile:
    """Scales an image and its label, [height, width], so that the larger side is TILE_SIDE."""
    height, width = image.shape[:2]
    scale = TILE_SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    smaller = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    if label is None:
        return Tile(np.asarray(smaller), None)
    return Tile(np.asarray(smaller), np.asarray(Image.fromarray(label).resize(size, Image.Resampling.NEAREST)))


def chosen_indices(splits: dict[str, int], total: int) -> dict[str, set[int]]:
    """Returns the examples of each split to show: the same number of each if possible, spread over the split.

    Args:
      splits: number of examples per split.
      total: largest number of examples to show altogether.
    """
    chosen = {}
    splits_left = len(splits)
    for split, count in sorted(splits.items(), key=lambda item: item[1]):  # large splits take what small ones leave
        share = min(count, math.ceil(total / splits_left)) if total > 0 else 0
        chosen[split] = {int(index) for index in np.linspace(0, count - 1, share).round()}
        total, splits_left = total - share, splits_left - 1
    return chosen


def save_contact_sheet(
    path: str | os.PathLike[str],
    tiles: Sequence[tuple[str, Tile]],
    info: DatasetInfo,
    shares: np.ndarray,
    title: str | None = None,
) -> None:
    """Writes the sheet as PNG, atomically.

    Args:
      path: path of the file.
      tiles: captions and examples, in the order of the sheet.
      info: names and colours of the classes.
      shares: float [256], share of the pixels with each id; shown in the legend.
      title: first line; by default a description of the data set.
    """
    canvas = _draw(tiles, info, shares, title or _title(info))
    with atomic_path(path) as partial:
        canvas.save(partial, "PNG")


def _draw(tiles: Sequence[tuple[str, Tile]], info: DatasetInfo, shares: np.ndarray, title: str) -> Image.Image:
    font = caption_font(FONT_SIZE)
    colors = _color_table(info)
    entries = [(color, printable(text)) for color, text in _legend(info, colors, shares)]
    cell_width = max([2 * tile.image.shape[1] for _, tile in tiles], default=2 * TILE_SIDE)
    width = TILES_PER_ROW * (cell_width + _MARGIN) + _MARGIN
    rows = [tiles[i : i + TILES_PER_ROW] for i in range(0, len(tiles), TILES_PER_ROW)]
    heights = [max(tile.image.shape[0] for _, tile in row) + _LINE + _MARGIN for row in rows]
    entry_width = max(round(font.getlength(text)) for _, text in entries) + _SWATCH + 3 * _MARGIN
    columns = max(1, (width - _MARGIN) // entry_width)
    legend_rows = math.ceil(len(entries) / columns)
    canvas = Image.new("RGB", (width, sum(heights) + legend_rows * _LINE + 3 * _MARGIN + _LINE), _BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    draw.text((_MARGIN, _MARGIN), fitting(title, font, width - 2 * _MARGIN), _INK, font)
    for number, (color, text) in enumerate(entries):
        left = _MARGIN + number // legend_rows * entry_width
        top = _MARGIN + _LINE * (1 + number % legend_rows)
        draw.rectangle([left, top, left + _SWATCH, top + _SWATCH], color, outline=_INK)
        draw.text((left + _SWATCH + _MARGIN // 2, top), text, _INK, font)
    top = (1 + legend_rows) * _LINE + 2 * _MARGIN
    for row, height in zip(rows, heights, strict=True):
        for column, (caption, tile) in enumerate(row):
            left = _MARGIN + column * (cell_width + _MARGIN)
            draw.text((left, top), fitting(caption, font, cell_width), _INK, font)
            canvas.paste(Image.fromarray(tile.image), (left, top + _LINE))
            canvas.paste(_overlay(tile, colors, font), (left + tile.image.shape[1], top + _LINE))
        top += height
    return canvas


def _title(info: DatasetInfo) -> str:
    counts = ", ".join(f"{count:,} {split}" for split, count in info.splits.items())
    return f"{info.name}: {counts}; {info.num_classes} classes, with their shares of all pixels"


def _legend(info: DatasetInfo, colors: np.ndarray, shares: np.ndarray) -> list[tuple[Color, str]]:
    """Returns the colour and the text of each class, of ignored pixels, and of wrong ids if there are any."""
    texts = {class_id: f"{class_id} {name}" for class_id, name in enumerate(info.class_names)}
    texts[info.ignore_label] = texts.get(info.ignore_label, str(info.ignore_label)) + " (ignored)"
    entries = [(tuple(colors[i].tolist()), f"{text} {_percent(shares[i])}") for i, text in texts.items()]
    wrong = sum(share for i, share in enumerate(shares) if i not in texts)
    if wrong > 0:
        entries.append((WRONG_COLOR, f"ids out of range {_percent(wrong)}"))
    return entries


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 or share == 0 else "< 0.1 %"


def _color_table(info: DatasetInfo) -> np.ndarray:
    """Returns the colour of each id, uint8 [256, 3]."""
    colors = np.full((_NUM_IDS, 3), WRONG_COLOR, np.uint8)
    colors[: info.num_classes] = info.palette
    colors[info.ignore_label] = IGNORED_COLOR
    return colors


def _overlay(tile: Tile, colors: np.ndarray, font: Font) -> Image.Image:
    """Returns the label's colours over the image, or a remark if there is no label."""
    height, width = tile.image.shape[:2]
    if tile.label is None:
        remark = Image.new("RGB", (width, height), _BACKGROUND)
        ImageDraw.Draw(remark).text((width / 2, height / 2), "no label", _INK, font, anchor="mm")
        return remark
    blend = (1 - LABEL_WEIGHT) * tile.image + LABEL_WEIGHT * colors[tile.label]
    return Image.fromarray(np.rint(blend).astype(np.uint8))
