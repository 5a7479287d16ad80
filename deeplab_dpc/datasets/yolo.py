"""Annotations of YOLO for segmentation (https://docs.ultralytics.com/datasets/segment/): a text file for each image.

A line is a class number and the corners of a polygon, x and y as fractions of the image's width and height. The names
of the classes are in data.yaml (`names`), classes.txt or obj.names.
"""

import os
import pathlib
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import yaml

from deeplab_dpc.datasets.outlines import Polygon, Shape
from deeplab_dpc.datasets.pictures import with_cure
from deeplab_dpc.errors import UserError, shown
from deeplab_dpc.small_files import read_file, read_text

NAME_FILES = ("classes.txt", "obj.names", "labels.txt")
YAML_SUFFIXES = (".yaml", ".yml")
_MAX_YAML = 2**20  # bytes
_TOLERANCE = 0.01  # largest distance outside the image by rounding, as a share of the image
_NAMES = re.compile(rb"^[\"']?names[\"']?\s*:", re.MULTILINE)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def read_yolo(data: bytes, title: str, names: list[str], height: int, width: int) -> tuple[Shape, ...]:
    """Reads a YOLO file; an empty one has no shapes.

    Args:
      data: contents of the file.
      title: name of the file in messages.
      names: names of the classes, by number.
      height, width: height and width of the image, in pixels.

    Raises:
      UserError: for the first line that is not a polygon of a class.
    """
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"The YOLO file {title} is not a text file in UTF-8; save it as one.") from error
    shapes = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                class_number, corners = _line(line.split())
                if class_number >= len(names):
                    raise ValueError(
                        f"its class is {class_number}, but there are {len(names)} names (0 to {len(names) - 1})"
                    )
            except ValueError as error:
                reason = with_cure(str(error), "correct it")
                raise UserError(f"Line {number} of the YOLO file {title} cannot be used: {reason}.") from error
            shapes.append(Shape(names[class_number], Polygon(corners * (width, height)), f"line {number}"))
    return tuple(shapes)


def looks_like_yolo(text: str) -> bool:
    """Returns whether the first line that is not empty could be a line of YOLO."""
    fields = next((line.split() for line in text.splitlines() if line.strip()), [])
    return len(fields) > 4 and fields[0].isdecimal() and all(map(_NUMBER.fullmatch, fields))


def _line(fields: list[str]) -> tuple[int, np.ndarray]:
    """Returns the class and the corners, float64 [corners, (x, y)] as fractions of the image."""
    if wrong := next((field for field in fields if not _NUMBER.fullmatch(field)), None):
        raise ValueError(f"{shown(wrong)} is not a number")
    first, *rest = fields
    if not first.isdecimal() or len(first) > 4:
        raise ValueError(f"its class {shown(first)} is not a whole number")
    if len(rest) == 4:
        raise ValueError("it is a box (four numbers after the class) and no polygon; export the data for segmentation")
    if len(rest) < 6 or len(rest) % 2:
        raise ValueError(f"it has {len(rest)} numbers after the class, which are not three or more pairs of x and y")
    corners = np.array(rest, np.float64).reshape(-1, 2)
    outside = corners[(corners < -_TOLERANCE) | (corners > 1 + _TOLERANCE)]
    if outside.size:
        raise ValueError(f"it has {outside[0]:g}, and coordinates are shares of the image, from 0 to 1")
    return int(first), corners


def find_names(folders: Iterable[pathlib.Path]) -> tuple[list[str], pathlib.Path] | None:
    """Returns the names of the classes, and the file that contains them; None if there is none.

    Args:
      folders: folders to search, the likeliest first.

    Raises:
      UserError: if the file is damaged.
    """
    for folder in dict.fromkeys(folders):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.suffix.lower() in YAML_SUFFIXES and (names := _names_of_yaml(path)) is not None:
                return names, path
        for path in (folder / name for name in NAME_FILES):
            if path.is_file() and not looks_like_yolo(text := _text(path)):
                return [line.strip() for line in text.splitlines() if line.strip()], path
    return None


def _text(path: pathlib.Path) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise UserError(f"The names of classes {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The names of classes {path} are not text in UTF-8; save them as one.") from error


def _names_of_yaml(path: pathlib.Path) -> list[str] | None:
    """Returns the class names in `names` of a YAML file, a list or names by number; None if it has no `names`."""
    if not path.is_file() or path.stat().st_size > _MAX_YAML:
        return None
    try:
        data = bytes(read_file(path, _MAX_YAML))
        if not _NAMES.search(data):
            return None
        value: Any = yaml.safe_load(data)
    except OSError as error:
        raise UserError(f"The YAML file {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"The YAML file {path} is damaged: {reason}.") from error
    names = value.get("names") if isinstance(value, dict) else None
    if names is None:
        return None
    if isinstance(names, dict) and sorted(map(str, names)) == sorted(map(str, range(len(names)))):
        names = [names.get(number, names.get(str(number))) for number in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, str | int) for name in names):
        raise UserError(f"`names` in {path} must be a list of the classes' names, or names by number from 0.")
    return [str(name).strip() for name in names]


def places(*paths: str | os.PathLike[str]) -> list[pathlib.Path]:
    """Returns the folders to search for the names of classes: each path and the two folders above it."""
    absolute = [pathlib.Path(path).absolute() for path in paths]
    return [folder for level in range(3) for path in absolute for folder in [path, *path.parents][level : level + 1]]
