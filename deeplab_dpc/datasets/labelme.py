"""Annotations of labelme (https://github.com/wkentaro/labelme): a JSON file for each image."""

import base64
import binascii
import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

from deeplab_dpc.data.image_files import MAX_SIDE
from deeplab_dpc.datasets.coco_json import MAX_PIXELS
from deeplab_dpc.datasets.coco_masks import as_numbers
from deeplab_dpc.datasets.label_pictures import read_label
from deeplab_dpc.datasets.outlines import Ellipse, Patch, Polygon, Shape, as_points, box
from deeplab_dpc.datasets.pictures import OR_SKIP, with_cure
from deeplab_dpc.errors import UserError, shown
from deeplab_dpc.files import parse_json

_KEPT = ("shapes", "label", "points", "shape_type", "mask", "imagePath", "imageHeight", "imageWidth")


@dataclasses.dataclass(frozen=True)
class LabelmeFile:
    """The contents of a labelme file.

    Attributes:
      image_name: file name of the image, without folders; "" if the file has none.
      size: (height, width) of the image in pixels; None if the file has none.
      shapes: shapes in the order of the file, later ones on top.
    """

    image_name: str
    size: tuple[int, int] | None
    shapes: tuple[Shape, ...]


def read_labelme(data: bytes, title: str) -> LabelmeFile:
    """Reads a labelme file.

    Args:
      data: contents of the file.
      title: name of the file in messages.

    Raises:
      UserError: if it is not JSON, not laid out as labelme's, or has a shape that covers no area.
    """
    where = f"The labelme file {title}"
    try:
        text = data.decode(json.detect_encoding(data))
    except UnicodeDecodeError as error:
        raise UserError(
            f"{where} is not valid JSON: byte {error.start} is not valid {error.encoding}; save it "
            f"again in labelme{OR_SKIP}."
        ) from error
    try:
        value = parse_json(text, where, _without_image)
    except UserError as error:
        raise UserError(f"{error}".removesuffix(".") + f"; save it again in labelme{OR_SKIP}.") from error
    if not isinstance(value, dict) or not isinstance(value.get("shapes"), list):
        raise UserError(f"{where} is not laid out as labelme's: it has no list 'shapes'.")
    size = value.get("imageHeight"), value.get("imageWidth")
    if not all(side is None or (type(side) is int and 0 < side <= MAX_SIDE) for side in size):
        raise UserError(f"{where} has the image size {shown(size)}, which is none; remove imageHeight and imageWidth.")
    path = value.get("imagePath")
    name = pathlib.PureWindowsPath(path).name if isinstance(path, str) else ""  # both kinds of slash
    shapes = tuple(_shape(entry, number, title) for number, entry in enumerate(value["shapes"], start=1))
    height, width = size
    if height is None or width is None:
        return LabelmeFile(name, None, shapes)
    if height * width > MAX_PIXELS:
        raise UserError(f"{where} has the image size {width} x {height}, more than {MAX_PIXELS:,} pixels.")
    return LabelmeFile(name, (height, width), shapes)


def _without_image(entry: dict[str, Any]) -> dict[str, Any]:
    """Returns an object without its unused values, such as the image itself."""
    return {key: entry[key] for key in _KEPT if key in entry}


def _shape(entry: Any, number: int, title: str) -> Shape:
    name = f"shape {number}"
    try:
        if not isinstance(entry, dict) or not isinstance(entry.get("label"), str) or not entry["label"].strip():
            raise ValueError("it has no label")
        return Shape(entry["label"].strip(), _area(entry, f"{title}, {name}"), name)
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"The {name} of {title} cannot be used: {with_cure(str(error), 'correct it')}.") from error


def _area(entry: dict[str, Any], title: str) -> Polygon | Ellipse | Patch:
    kind = entry.get("shape_type") or "polygon"
    points = _points(entry.get("points"))
    if kind == "polygon":
        if len(points) < 3:
            raise ValueError(f"its polygon has {len(points)} corners, and three are the fewest")
        return Polygon(points)
    if kind not in ("rectangle", "circle", "mask"):
        raise ValueError(
            f"it is a {shown(kind)}, which covers no area; remove it, or draw a polygon, rectangle, circle or mask"
        )
    if len(points) != 2:
        raise ValueError(f"a {kind} has two points, got {len(points)}")
    (x, y), (to_x, to_y) = points.tolist()
    if kind == "rectangle":
        return box(min(x, to_x), min(y, to_y), max(x, to_x), max(y, to_y))
    if kind == "circle":
        radius = float(np.hypot(to_x - x, to_y - y))
        return Ellipse((x, y), (radius, radius))
    return Patch(round(x), round(y), _mask(entry.get("mask"), title))


def _points(value: Any) -> np.ndarray:
    """Returns the points, float64 [points, (x, y)]."""
    try:
        return as_points(as_numbers(value))
    except ValueError as error:
        raise ValueError("its points are not a list of [x, y]") from error


def _mask(text: Any, title: str) -> np.ndarray:
    """Returns the pixels of a mask stored as a PNG in base64."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise ValueError("its mask is not a PNG in base64") from error
    return read_label(data, f"mask of {title}").values > 0
