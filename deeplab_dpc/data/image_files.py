"""Image files as people have them: found, and decoded to 8-bit RGB as people see them. Needs no TensorFlow."""

import dataclasses
import glob
import os
import pathlib
import struct
import threading
import warnings
import zlib
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from deeplab_dpc.errors import UserError

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
MAX_PIXELS = 178_956_970  # Pillow's own limit, 2 x 89,478,485

# How Pillow reports that a file is not what it should be.
_UNDECODABLE = (OSError, SyntaxError, ValueError, EOFError, LookupError, struct.error, zlib.error)
_warnings_lock = threading.Lock()  # Python's warning filters belong to the whole process


def decode_image(
    source: str | os.PathLike[str] | BinaryIO,
    name: str,
    max_pixels: int | None = None,
    formats: tuple[str, ...] = FORMATS,
) -> np.ndarray:
    """An image as uint8 RGB [height, width, 3], the way up that its EXIF orientation says.

    Grey and colour-mapped images become RGB, 16-bit grey keeps its upper 8 bits, transparent pixels lie on white, and
    of several pages or frames the first is taken.

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
        # Pillow warns of half the size that it refuses, and of broken metadata.
        with _warnings_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(source, formats=formats) as picture:
                _check_size(picture, name, limit)
                return _as_rgb(ImageOps.exif_transpose(picture), name)
    except Image.DecompressionBombError as error:
        raise UserError(f"{name} has more than {limit:,} pixels; cut it into tiles, or reduce it.") from error
    except UserError:
        raise
    except _UNDECODABLE as error:
        known = ", ".join(formats)
        reason = f"it is none of {known}" if isinstance(error, UnidentifiedImageError) else str(error).rstrip(".")
        raise UserError(f"{name} cannot be read as an image: {reason or 'it is damaged'}.") from error


def _check_size(picture: Image.Image, name: str, limit: int) -> None:
    width, height = picture.size
    if width * height > limit:
        raise UserError(f"{name} has {height} x {width} pixels, more than {limit:,}; cut it into tiles, or reduce it.")


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
        ** stands for any folders. Of folders and patterns only files that end in one of SUFFIXES are taken.
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
    elif glob.has_magic(images):
        root = _fixed_part(given)
        left_out = [folder.resolve() for folder in without]
        paths = [pathlib.Path(path) for path in glob.glob(images, recursive=True)]
        paths = [path for path in paths if not any(path.resolve().is_relative_to(folder) for folder in left_out)]
    else:
        raise UserError(f"--{flag}={images} is not a folder, a file, or a pattern like 'photos/**/*.jpg'.")
    paths = sorted(path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        verb = "holds" if given.is_dir() else "matches"
        hint = "; a video is given by its own name" if flag == "images" else ""
        raise UserError(f"--{flag}={images} {verb} no {', '.join(SUFFIXES)} file{hint}.")
    files = [ImageFile(path, path.relative_to(root).with_suffix("").as_posix()) for path in paths]
    _check_names(files)
    return files


def _fixed_part(pattern: pathlib.Path) -> pathlib.Path:
    """The folder in which a pattern begins to vary."""
    return next(parent for parent in pattern.parents if not glob.has_magic(str(parent)))


def _check_names(files: Sequence[ImageFile]) -> None:
    by_name: dict[str, ImageFile] = {}
    for file in files:
        other = by_name.setdefault(file.name, file)
        if other is not file:
            raise UserError(f"{other.path} and {file.path} would both be written as {file.name}.png; rename one.")
