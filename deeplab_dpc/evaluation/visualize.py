"""Labels as colours, as overlays, and as PNG files of class ids (the format of Cityscapes and PASCAL VOC)."""

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from deeplab_dpc.errors import UserError
from deeplab_dpc.files import atomic_path

RGB = tuple[int, int, int]
WHITE: RGB = (255, 255, 255)

_BAND = 256  # rows that are blended at a time, so that large images need little additional memory
_COMPRESSION = 3  # level for RGB PNGs: three times as fast as Pillow's default of 6, and files a tenth larger


def colorize(labels: np.ndarray, palette: Sequence[Sequence[int]], ignore_color: RGB = WHITE) -> np.ndarray:
    """Returns labels as colours, uint8 [height, width, 3].

    Args:
      labels: class ids [height, width].
      palette: (red, green, blue) of each class, in [0, 255].
      ignore_color: (red, green, blue) of ids that are not in the palette.
    """
    _check_labels(labels)
    colors = _colors([*palette, ignore_color])
    # A NumPy integer: the Python integer 256 cannot be combined with uint8 labels.
    return colors[np.where(_in_palette(labels, palette), labels, np.int16(len(palette)))]


def overlay(image: np.ndarray, labels: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Returns an image with the labels' colours over it, uint8 [height, width, 3].

    Args:
      image: image, uint8 [height, width, 3].
      labels: class ids, integers [height, width]; pixels whose id is not in the palette are not coloured.
      palette: (red, green, blue) of each class, in [0, 255].

    Raises:
      UserError: if the image has another type or shape or the sizes differ.
    """
    _check_image(image)
    if image.shape[:2] != labels.shape:
        raise UserError(f"Image and labels must have the same size, got {image.shape[:2]} and {labels.shape}.")
    result = np.empty_like(image)
    for top in range(0, image.shape[0], _BAND):
        pixels, ids = image[top : top + _BAND], labels[top : top + _BAND]
        blend = np.rint(0.5 * pixels + 0.5 * colorize(ids, palette)).astype(np.uint8)
        result[top : top + _BAND] = np.where(_in_palette(ids, palette)[..., np.newaxis], blend, pixels)
    return result


def save_label_png(path: str | os.PathLike[str], labels: np.ndarray) -> None:
    """Writes class ids [height, width], in [0, 255], as an 8-bit PNG of one channel, atomically."""
    _save_png(path, Image.fromarray(_bytes(labels)))


def save_palette_png(path: str | os.PathLike[str], labels: np.ndarray, palette: Sequence[Sequence[int]]) -> None:
    """Writes class ids as an 8-bit PNG of colour indices, which viewers show in colour and NumPy reads as ids.

    Args:
      labels: class ids [height, width], in [0, 255].
      palette: (red, green, blue) of each class, in [0, 255]; all further colours are white.
    """
    picture = Image.fromarray(_bytes(labels), "P")
    picture.putpalette(_colors([*palette, *[WHITE] * (256 - len(palette))]).tobytes())
    _save_png(path, picture)


def save_rgb_png(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Writes an image, uint8 [height, width, 3], as PNG, atomically."""
    _check_image(image)
    _save_png(path, Image.fromarray(np.ascontiguousarray(image)), _COMPRESSION)


def _save_png(path: str | os.PathLike[str], picture: Image.Image, compression: int = 6) -> None:
    with atomic_path(path) as partial:
        picture.save(partial, format="PNG", compress_level=compression)


def _bytes(labels: np.ndarray) -> np.ndarray:
    """Returns labels as uint8 for a PNG."""
    _check_labels(labels)
    if labels.min() < 0 or labels.max() > 255:
        raise UserError(f"Labels in a PNG must be in [0, 255], got [{labels.min()}, {labels.max()}].")
    return np.ascontiguousarray(labels.astype(np.uint8))


def _colors(palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Returns the palette as uint8 [colours, 3]."""
    colors = np.array(palette)
    if colors.ndim != 2 or colors.shape[1] != 3 or colors.min() < 0 or colors.max() > 255:
        raise UserError(f"`palette` must be (red, green, blue) triples in [0, 255], got {palette}.")
    return colors.astype(np.uint8)


def _in_palette(labels: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    return (labels >= 0) & (labels < len(palette))


def _check_labels(labels: np.ndarray) -> None:
    if labels.ndim != 2 or labels.size == 0 or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"Labels must be integers [height, width], got {labels.dtype} {list(labels.shape)}.")


def _check_image(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0 or image.dtype != np.uint8:
        raise UserError(f"An image must be uint8 [height, width, 3], got {image.dtype} {list(image.shape)}.")
