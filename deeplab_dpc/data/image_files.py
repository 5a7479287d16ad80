"""Decoding of common image files to upright 8-bit RGB, and the size in the header of an image, which is read before
memory is allocated for its pixels. Needs no TensorFlow.
"""

import contextlib
import io
import os
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from deeplab_dpc.data.file_kinds import broken_link
from deeplab_dpc.data.image_bytes import damage
from deeplab_dpc.errors import UserError

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp")
MAX_PIXELS = 178_956_970  # Pillow's own limit, 2 x 89,478,485
MAX_SIDE = 65_535  # pixels; that of JPEG
MAX_BYTES = 8 * MAX_PIXELS  # largest size of a file: four channels of 16 bits
_PIECE = 2**24  # bytes
_PAGED = ("TIFF", "WEBP", "GIF", "PNG")  # formats with several pages or frames, none of which is the main one

# Errors of Pillow for damaged files; damaged metadata and tags can raise errors in any of its parsers.
UNDECODABLE = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError),
    *(ArithmeticError, RuntimeError, struct.error, zlib.error, Image.DecompressionBombError),
)
_warnings_lock = threading.Lock()  # Python's warning filters belong to the whole process

ORIENTATION = 0x0112  # EXIF 2.32, table 4
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Undecodable(ValueError):  # noqa: N818 (its text is a part of a sentence)
    """The error for an image file that cannot be decoded; its text is the reason, without a full stop."""


def decode_image(
    source: str | os.PathLike[str] | BinaryIO,
    name: str,
    max_pixels: int | None = None,
    formats: tuple[str, ...] = FORMATS,
) -> np.ndarray:
    """Returns an image as uint8 RGB [height, width, 3], turned upright by its EXIF orientation.

    Grey and colour-mapped images become RGB, 16-bit grey keeps its upper 8 bits, and transparent pixels are placed on
    white. Unreadable metadata is ignored.

    Args:
      source: path or stream.
      name: name of the image in messages.
      max_pixels: largest number of pixels; larger images are refused before they are decoded. At most and by default
        MAX_PIXELS.
      formats: names of the formats to read, from FORMATS.

    Raises:
      UserError: if the file is not an image of these formats, is damaged or too large, has several pages or frames, or
        has samples of unknown range.
    """
    limit = MAX_PIXELS if max_pixels is None else min(max_pixels, MAX_PIXELS)
    try:
        return picture_pixels(decode_picture(_read(source), formats, limit), name)
    except UserError:
        raise
    except UNDECODABLE as error:
        raise UserError(f"{name} cannot be read as an image: {_reason(error)}.") from error


def decode_picture(data: bytes, formats: tuple[str, ...], max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decodes an image file after checking its size and its checksums.

    Of a JPEG with several pictures (MPO, as phones write them) the main one is decoded.

    Args:
      data: contents of the file.
      formats: names of the formats to read, as in Pillow.
      max_pixels: largest number of pixels; larger images are refused before they are decoded.

    Raises:
      Undecodable: if it is empty, not an image of these formats, damaged, too large, or has several pages or frames.
    """
    if not data:
        raise Undecodable("it is empty")
    try:
        with quiet_pillow():
            picture = Image.open(io.BytesIO(data), formats=formats)
            _check_size(picture, max_pixels)
            _check_pages(picture)
            picture.load()
    except Image.DecompressionBombError as error:
        raise Undecodable(f"it has more than {max_pixels:,} pixels; cut it into tiles, or reduce it") from error
    except UnidentifiedImageError as error:
        known = f"none of {', '.join(formats)}" if len(formats) > 1 else f"no {formats[0]} file"
        raise Undecodable(f"it is {known}") from error
    except UNDECODABLE as error:
        raise Undecodable(_reason(error)) from error
    if reason := damage(data):
        raise Undecodable(reason)
    return picture


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Suppresses Pillow's warnings about images above half its largest size, and about broken metadata."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _reason(error: Exception) -> str:
    """Returns the message of an exception, in one line without a full stop."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()).rstrip(".") or "it is damaged"


def orientation(picture: Image.Image) -> int:
    """Returns the EXIF orientation of a decoded picture, 1 to 8; 1 (upright) if none can be read."""
    try:
        with quiet_pillow():
            value = picture.getexif().get(ORIENTATION)
    except UNDECODABLE:
        return 1  # as all programs show it; metadata has no checksum and no influence on the pixels
    return value if isinstance(value, int) and value in UPRIGHT else 1


def picture_pixels(picture: Image.Image, name: str) -> np.ndarray:
    """Converts a Pillow image to uint8 RGB [height, width, 3], turned upright, as `decode_image` does.

    Raises:
      UserError: if its samples have an unknown range.
    """
    method = UPRIGHT.get(orientation(picture))
    return _as_rgb(picture if method is None else picture.transpose(method), name)


def _read(source: str | os.PathLike[str] | BinaryIO) -> bytes:
    """Returns the contents of a file or stream."""
    if isinstance(source, (str, os.PathLike)):
        if problem := broken_link(source):
            raise Undecodable(f"it {problem}")
        with open(source, "rb") as stream:
            return _read(stream)
    # In pieces: one read would allocate the requested memory, however small the file is.
    data = bytearray()
    while len(data) <= MAX_BYTES and (piece := source.read(min(_PIECE, MAX_BYTES + 1 - len(data)))):
        data += piece
    if len(data) > MAX_BYTES:
        raise Undecodable(f"it has more than {MAX_BYTES:,} bytes")
    return bytes(data)


def _check_size(picture: Image.Image, max_pixels: int) -> None:
    width, height = picture.size
    if width * height > max_pixels:
        raise Undecodable(
            f"it has {height} x {width} pixels, more than {max_pixels:,}; cut it into tiles, or reduce it"
        )
    if max(width, height) > MAX_SIDE:
        raise Undecodable(f"it has {height} x {width} pixels, and no side may exceed {MAX_SIDE:,}; cut it into tiles")
    if min(width, height) < 1:
        raise Undecodable("it has no pixels")


def _check_pages(picture: Image.Image) -> None:
    if picture.format in _PAGED and (pages := getattr(picture, "n_frames", 1)) > 1:
        raise Undecodable(f"it has {pages} pages; save each as a file of its own")


def _as_rgb(picture: Image.Image, name: str) -> np.ndarray:
    if picture.mode.startswith("I;16"):
        grey = (np.asarray(picture) >> 8).astype(np.uint8)
        return np.repeat(grey[..., np.newaxis], 3, axis=-1)
    if picture.mode in ("I", "F"):
        raise UserError(
            f"{name} has samples of 32 bits, whose range is not known; convert it to 8 bits per channel first."
        )
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.asarray(picture.convert("RGB"))


class TooLargeError(ValueError):
    """The error for an image that is too large to be decoded; its text is part of a sentence."""


def declared_size(encoded: bytes) -> tuple[int, int] | None:
    """Returns (height, width) in pixels of an image of any format that Pillow opens; None for other bytes.

    Raises:
      TooLargeError: if the image is too large to be decoded.
    """
    try:
        with quiet_pillow(), Image.open(io.BytesIO(encoded)) as picture:
            width, height = picture.size
    except Image.DecompressionBombError as error:
        raise TooLargeError(f"it has more than {MAX_PIXELS:,} pixels") from error
    except UNDECODABLE:
        return None
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise TooLargeError(
            f"it has {height} x {width} pixels, and at most {MAX_PIXELS:,} are decoded and no side above {MAX_SIDE:,}"
        )
    return height, width
