"""Image files as people have them: found, and decoded to 8-bit RGB as people see them. Needs no TensorFlow."""

import contextlib
import dataclasses
import fnmatch
import glob
import io
import os
import pathlib
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from deeplab_dpc.console import console, printable
from deeplab_dpc.data.file_kinds import HEAD_BYTES, UNREAD_PICTURES, kind_of_contents, listed
from deeplab_dpc.data.image_bytes import damage
from deeplab_dpc.data.video import VIDEO_SUFFIXES
from deeplab_dpc.errors import UserError

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp")
MAX_PIXELS = 178_956_970  # Pillow's own limit, 2 x 89,478,485
MAX_SIDE = 65_535  # pixels; that of JPEG
MAX_BYTES = 8 * MAX_PIXELS  # of a file: four channels of 16 bits
_PIECE = 2**24  # bytes

# How Pillow reports that a file is not what it should be; damaged metadata and tags reach any of its parsers.
UNDECODABLE = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError),
    *(ArithmeticError, RuntimeError, struct.error, zlib.error, Image.DecompressionBombError),
)
_warnings_lock = threading.Lock()  # Python's warning filters belong to the whole process

_LOOKED_INTO = 20  # files of a folder whose names do not tell what they are
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
    """An image file cannot be decoded; the text is the reason, without a full stop."""


def decode_image(
    source: str | os.PathLike[str] | BinaryIO,
    name: str,
    max_pixels: int | None = None,
    formats: tuple[str, ...] = FORMATS,
) -> np.ndarray:
    """Returns an image as uint8 RGB [height, width, 3], the way up that its EXIF orientation says.

    Grey and colour-mapped images become RGB, 16-bit grey keeps its upper 8 bits, transparent pixels lie on white, and
    of several pages or frames the first is taken. Metadata that cannot be read are left alone.

    Args:
      source: a path, or a stream to read.
      name: what a message calls the image.
      max_pixels: larger ones are refused before they are decoded; at most and by default MAX_PIXELS.
      formats: those of FORMATS that are read.

    Raises:
      UserError: if it is no image of these formats, damaged, too large, or has samples of unknown range.
    """
    limit = MAX_PIXELS if max_pixels is None else min(max_pixels, MAX_PIXELS)
    try:
        picture = decode_picture(_read(source), formats, limit)
        method = UPRIGHT.get(orientation(picture))
        return _as_rgb(picture if method is None else picture.transpose(method), name)
    except UserError:
        raise
    except UNDECODABLE as error:
        raise UserError(f"{name} cannot be read as an image: {_reason(error)}.") from error


def decode_picture(data: bytes, formats: tuple[str, ...], max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decodes an image file, after its size and its checksums were checked.

    Args:
      data: contents of the file.
      formats: names of the formats that are read, as Pillow has them.
      max_pixels: larger ones are refused before they are decoded.

    Raises:
      Undecodable: if it is no image of these formats, damaged, or too large.
    """
    try:
        with quiet_pillow():
            picture = Image.open(io.BytesIO(data), formats=formats)
            _check_size(picture, max_pixels)
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
    """Leaves out what Pillow warns of: half the size that it refuses, and broken metadata."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _reason(error: Exception) -> str:
    """Returns what an exception says, in one line without a full stop."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()).rstrip(".") or "it is damaged"


def orientation(picture: Image.Image) -> int:
    """Returns the EXIF orientation of a decoded picture, 1 to 8; 1 (upright) where none can be read."""
    try:
        with quiet_pillow():
            value = picture.getexif().get(ORIENTATION)
    except UNDECODABLE:
        return 1  # as all programs show it; metadata have no checksum and no influence on the pixels
    return value if isinstance(value, int) and value in UPRIGHT else 1


def _read(source: str | os.PathLike[str] | BinaryIO) -> bytes:
    """Returns the contents of a file or stream."""
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as stream:
            return _read(stream)
    # In pieces: a read takes memory for all that it was asked for, whatever is there.
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


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image to predict.

    Attributes:
      path: of the file.
      name: of what is written of it: its path below the folder or the pattern's fixed part, without the ending.
    """

    path: pathlib.Path
    name: str


def find_images(images: str, without: Sequence[pathlib.Path] = (), flag: str = "images") -> list[ImageFile]:
    """The images that a flag names, sorted by path.

    Args:
      images: a file; a folder, of which the files directly in it are taken; or a pattern with *, ? or [...], in which
        ** stands for any folders. What exists is a path, whatever its characters. Of folders and patterns only files
        that end in one of SUFFIXES are taken, and other pictures and videos are said.
      without: folders that a pattern leaves out.
      flag: for errors.

    Raises:
      UserError: if it is none of these, there is no image, or two would be written to one name.
    """
    given = pathlib.Path(images)
    if given.is_file():
        return [ImageFile(given, given.stem)]
    if given.is_dir():
        root, paths = given, list(given.iterdir())
    else:
        root = next(parent for parent in given.parents if parent.is_dir())
        pattern = given.relative_to(root)
        if not glob.has_magic(str(pattern)):
            raise UserError(f"--{flag}={images} is not a folder, a file, or a pattern like 'photos/**/*.jpg'.")
        left_out = [pathlib.Path(os.path.realpath(folder)) for folder in without]
        paths = [
            path
            for path in _matching(root, pattern)
            if not any(pathlib.Path(os.path.realpath(path)).is_relative_to(folder) for folder in left_out)
        ]
    others = sorted(path for path in paths if path.suffix.lower() not in SUFFIXES and path.is_file())
    paths = sorted(path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        verb = "holds" if given.is_dir() else "matches"
        hint = "; a video is given by its own name" if flag == "images" else ""
        raise UserError(f"--{flag}={images} {verb} no {', '.join(SUFFIXES)} file{hint}.")
    files = [ImageFile(path, path.relative_to(root).with_suffix("").as_posix()) for path in paths]
    _check_names(files)
    _say_left_out(others)
    return files


def _matching(root: pathlib.Path, pattern: pathlib.Path) -> list[pathlib.Path]:
    """The files below a folder whose path from there matches a pattern, of which no part matches a hidden name."""
    if "**" in pattern.parts:
        return [
            path for path in _files_below(root, frozenset()) if _matches(path.relative_to(root).parts, pattern.parts)
        ]
    return [pathlib.Path(path) for path in glob.glob(os.path.join(glob.escape(str(root)), str(pattern)))]


def _files_below(folder: pathlib.Path, above: frozenset[str]) -> Iterator[pathlib.Path]:
    """The files in a folder and in those in it, links to a folder that they lie in excepted."""
    above |= {os.path.realpath(folder)}
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if not path.is_dir():
            yield path
        elif os.path.realpath(path) not in above:
            yield from _files_below(path, above)


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a path match those of a pattern, in which ** is any number of them."""
    if not pattern or not parts:
        return not parts and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return _matches(parts, pattern[1:]) or _matches(parts[1:], pattern)
    return fnmatch.fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _say_left_out(others: Sequence[pathlib.Path]) -> None:
    """Prints the pictures and videos among files that are not taken."""
    videos = [path for path in others if path.suffix.lower() in VIDEO_SUFFIXES]
    pictures = [path for path in others if path not in videos and path.suffix.lower() in UNREAD_PICTURES]
    unknown = [path for path in others if path not in videos and path not in pictures]
    misnamed = {path: kind for path in unknown[:_LOOKED_INTO] if (kind := kind_of_contents(_head(path)))}
    for found, what in (
        (videos, "a video is given by its own name, --images=VIDEO"),
        (pictures, f"convert them; {', '.join(SUFFIXES)} are read"),
        (
            list(misnamed),
            f"pictures by their contents; name the first with the ending {next(iter(misnamed.values()), '')}",
        ),
    ):
        if found:
            console.print(f"Left out: {printable(listed((path.name for path in found), 'file'))} ({what}).")


def _head(path: pathlib.Path) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(HEAD_BYTES)
    except OSError:  # a file that nobody asked for may be as it is
        return b""


def _check_names(files: Sequence[ImageFile]) -> None:
    by_name: dict[str, ImageFile] = {}
    for file in files:
        other = by_name.setdefault(file.name, file)
        if other is not file:
            raise UserError(f"{other.path} and {file.path} would both be written as {file.name}.png; rename one.")
